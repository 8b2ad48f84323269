"""A root that holds nothing but a bundle: no network, no environment, nothing of this machine.

Uses bubblewrap when it is there, else util-linux's unshare (as root, or where users may make namespaces), else, as
root, a plain chroot.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from aotpack.tools import running
from aotpack.tools.programs import look_for_program

#: Where the bundle is inside. Not `/`, so that a bundle which secretly relies on a fixed place shows.
INSIDE = "/bundle"


@dataclass(frozen=True)
class Sandbox:
    """A way to run a program in a root of its own."""

    name: str
    program: str
    #: Options of unshare that make the namespaces.
    namespaces: tuple[str, ...] = ()

    def command(
        self,
        root: Path,
        arguments: Sequence[str],
        extra: Sequence[tuple[Path, str]] = (),
        devices: Sequence[Path] = (),
        *,
        kernel: bool = False,
    ) -> list[str]:
        """The command line that runs `arguments` (first: a path inside) with the bundle at `INSIDE`, read-only.

        Args:
            root: the bundle.
            arguments: program and arguments, as seen from inside.
            extra: further (host path, inside path) pairs, read-only.
            devices: device nodes. With them come /proc and /sys, which drivers ask about the machine.
            kernel: /proc and /sys in any case.
        """
        kernel = kernel or bool(devices)
        if self.name == "bubblewrap":
            binds = [item for source, target in extra for item in ("--ro-bind", str(source), target)]
            binds += [item for node in devices for item in ("--dev-bind", str(node), str(node))]
            binds += ["--proc", "/proc", "--ro-bind", "/sys", "/sys"] if kernel else []
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
        shown = [*extra, *((node, str(node)) for node in devices)]
        pairs = [text for source, target in shown for text in (str(source), target)]
        chroot = str(look_for_program("chroot") or "chroot")
        shell = [
            "sh",
            "-c",
            _SCRIPTS[self.name],
            "sh",
            chroot,
            str(root.resolve()),
            "with-kernel" if kernel else "alone",
            str(len(shown)),
            *pairs,
            *arguments,
        ]
        return [self.program, *self.namespaces, *shell]


# Fixed text; every name travels as an argument: chroot, the bundle, whether /proc and /sys are there, the number of
# pairs, the pairs, the command.
_SCRIPTS = {
    # A mount namespace of its own; /mnt exists everywhere, and the mount on it is seen in there alone.
    "unshare": """set -e; chroot=$1; root=$2; kernel=$3; count=$4; shift 4; top=/mnt
mount -t tmpfs -o mode=755 tmpfs "$top"; mkdir "$top/bundle"
mount --bind "$root" "$top/bundle"; mount -o remount,bind,ro "$top/bundle"
while [ "$count" -gt 0 ]; do
  mkdir -p "$(dirname "$top$2")"; if [ -d "$1" ]; then mkdir -p "$top$2"; else : > "$top$2"; fi
  mount --bind "$1" "$top$2"; mount -o remount,bind,ro "$top$2"; shift 2; count=$((count - 1))
done
if [ "$kernel" = with-kernel ]; then
  mkdir -p "$top/proc" "$top/sys"; mount -t proc proc "$top/proc"; mount --rbind /sys "$top/sys"
fi
mount -o remount,ro "$top"; cd "$top"; exec env -i "$chroot" "$top" "$@"
""",
    # Where even root may not mount, as within a chroot: hard links (or copies) in a folder beside the bundle.
    "chroot": """set -e; chroot=$1; root=$2; count=$4; shift 4
top=$(mktemp -d "$(dirname "$root")/.aotpack-root-XXXXXX"); trap 'rm -rf "$top"' EXIT
cp -al "$root" "$top/bundle" 2>/dev/null || { rm -rf "$top/bundle"; cp -a "$root" "$top/bundle"; }
while [ "$count" -gt 0 ]; do
  mkdir -p "$(dirname "$top$2")"; cp -a "$1" "$top$2"; shift 2; count=$((count - 1))
done
cd "$top"; env -i "$chroot" "$top" "$@"
""",
}
_NAMESPACES = ("--net", "--pid", "--ipc", "--fork")


@functools.cache
def find_sandbox() -> Sandbox | None:
    """The first way that works here; None when this machine allows none."""
    return next(filter(works, candidates()), None)


def candidates() -> list[Sandbox]:
    """The ways whose program is installed, the best first."""
    ways: list[Sandbox] = []
    if bwrap := look_for_program("bwrap"):
        ways.append(Sandbox("bubblewrap", str(bwrap)))
    if program := look_for_program("unshare"):
        unshare = str(program)
        if os.geteuid() == 0:
            ways.append(Sandbox("unshare", unshare, ("--mount", *_NAMESPACES)))
        ways.append(Sandbox("unshare", unshare, ("--user", "--map-root-user", "--mount", *_NAMESPACES)))
        if os.geteuid() == 0:
            ways.append(Sandbox("chroot", unshare, _NAMESPACES))
    return ways


def works(sandbox: Sandbox) -> bool:
    """Whether the kernel lets us: containers often forbid namespaces, and only trying tells."""
    if sandbox.name == "bubblewrap":
        trial = [sandbox.program, "--unshare-all", "--ro-bind", "/", "/", "true"]
    elif sandbox.name == "unshare":
        trial = [sandbox.program, *sandbox.namespaces, "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    else:
        trial = [sandbox.program, *sandbox.namespaces, "true"]
    try:
        return running.run(trial, timeout=30).status == 0
    except OSError:
        return False
