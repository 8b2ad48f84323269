"""A root that holds nothing but a bundle: no network, no environment, nothing of this machine.

Uses bubblewrap when it is there, else util-linux's unshare (as root, or where users may make namespaces).
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

#: Where the bundle is inside. Not `/`, so that a bundle which secretly relies on a fixed place shows.
INSIDE = "/bundle"


@dataclass(frozen=True)
class Sandbox:
    """A way to run a program in a root of its own."""

    name: str
    program: str
    #: Options of unshare that make the namespaces.
    namespaces: tuple[str, ...] = ()

    def command(self, root: Path, arguments: Sequence[str], extra: Sequence[tuple[Path, str]] = ()) -> list[str]:
        """The command line that runs `arguments` (first: a path inside) with the bundle at `INSIDE`, read-only.

        Args:
            root: the bundle.
            arguments: program and arguments, as seen from inside.
            extra: further (host path, inside path) pairs, read-only.
        """
        if self.name == "bubblewrap":
            binds = [item for source, target in extra for item in ("--ro-bind", str(source), target)]
            return [
                self.program,
                "--unshare-all",
                "--die-with-parent",
                "--clearenv",
                *("--ro-bind", str(root), INSIDE),
                *binds,
                *("--remount-ro", "/"),
                *("--chdir", "/"),
                *arguments,
            ]
        # The script is fixed text; every name travels as an argument.
        script = (
            "set -e; chroot=$1; top=$2; root=$3; count=$4; shift 4; "
            'mount -t tmpfs -o mode=755 tmpfs "$top"; mkdir "$top/bundle"; '
            'mount --bind "$root" "$top/bundle"; mount -o remount,bind,ro "$top/bundle"; '
            'while [ "$count" -gt 0 ]; do mkdir -p "$(dirname "$top$2")"; '
            'if [ -d "$1" ]; then mkdir -p "$top$2"; else : > "$top$2"; fi; '
            'mount --bind "$1" "$top$2"; mount -o remount,bind,ro "$top$2"; shift 2; count=$((count - 1)); done; '
            'mount -o remount,ro "$top"; cd "$top"; exec env -i "$chroot" "$top" "$@"'
        )
        pairs = [text for source, target in extra for text in (str(source), target)]
        chroot = shutil.which("chroot", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") or "chroot"
        top = "/mnt"  # any folder that exists everywhere; the mount is seen by the new namespace alone
        shell = ["sh", "-c", script, "sh", chroot, top, str(root.resolve()), str(len(extra)), *pairs, *arguments]
        return [self.program, *self.namespaces, *shell]


_NAMESPACES = ("--mount", "--net", "--pid", "--ipc", "--fork")


@functools.cache
def find_sandbox() -> Sandbox | None:
    """The first way that works here; None when this machine allows none."""
    return next(filter(works, candidates()), None)


def candidates() -> list[Sandbox]:
    """The ways whose program is installed, the best first."""
    ways: list[Sandbox] = []
    if bwrap := shutil.which("bwrap"):
        ways.append(Sandbox("bubblewrap", bwrap))
    if unshare := shutil.which("unshare"):
        if os.geteuid() == 0:  # also where root sits in a chroot, in which the kernel forbids user namespaces
            ways.append(Sandbox("unshare", unshare, _NAMESPACES))
        ways.append(Sandbox("unshare", unshare, ("--user", "--map-root-user", *_NAMESPACES)))
    return ways


def works(sandbox: Sandbox) -> bool:
    """Whether the kernel lets us: containers often forbid namespaces, and only trying tells."""
    if sandbox.name == "bubblewrap":
        trial = [sandbox.program, "--unshare-all", "--ro-bind", "/", "/", "true"]
    else:
        trial = [sandbox.program, *sandbox.namespaces, "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    return subprocess.run(trial, capture_output=True, check=False, timeout=30).returncode == 0
