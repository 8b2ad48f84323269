"""The builds of Python on this machine that the runner serves."""

from __future__ import annotations

import functools
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

_PROBE = "import os, sys; print(sys.version_info[0], sys.version_info[1], os.path.realpath(sys.executable))"


def _candidates() -> Iterator[Path]:
    """Those of PATH, Debian's own and pyenv's; several names may lead to one."""
    for folder in [*os.get_exec_path(), "/usr/bin"]:
        if Path(folder).is_dir():
            yield from (path for path in Path(folder).iterdir() if re.fullmatch(r"python3(\.\d+)?", path.name))
    yield from Path.home().glob(".pyenv/versions/3.*/bin/python3")


def _is_program(path: Path) -> bool:
    """Whether it is one itself; pyenv's shims are scripts that may find none."""
    try:
        with path.open("rb") as stream:
            return stream.read(4) == b"\x7fELF"
    except OSError:
        return False


@functools.cache
def other_pythons() -> tuple[Path, ...]:
    """All but the one that runs the tests, whose venvs count as itself; the oldest first."""
    found: dict[Path, tuple[int, int]] = {}
    for path in dict.fromkeys(each.resolve() for each in _candidates() if _is_program(each)):
        done = subprocess.run([path, "-c", _PROBE], capture_output=True, text=True, check=False)
        if done.returncode == 0:
            major, minor, real = done.stdout.rstrip("\n").split(" ", 2)
            found[Path(real)] = int(major), int(minor)
    served = {path: version for path, version in found.items() if version >= (3, 8)}
    served.pop(Path(sys.executable).resolve(), None)
    return tuple(sorted(served, key=lambda path: (served[path], path)))
