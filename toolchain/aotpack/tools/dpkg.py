"""Which packages of Debian and its descendants files came with; nothing elsewhere, where no one says."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path


def owners(paths: Iterable[Path]) -> dict[Path, str]:
    """The package that owns each file, as dpkg calls it: `base-files`, `libc6:amd64`. Files of none are left out."""
    names = {path: _names(path) for path in paths}
    if not names:
        return {}
    # Each line is one file with all of its owners. A file that no package owns is no error: the others are answered.
    owner_of: dict[str, str] = {}
    for line in query("--search", *sorted({name for each in names.values() for name in each})).splitlines():
        packages, separator, name = line.partition(": ")
        if separator and not packages.startswith("diversion by"):
            owner_of.setdefault(name, packages.split(",")[0])
    known = ((path, next(filter(None, map(owner_of.get, each)), None)) for path, each in names.items())
    return {path: owner for path, owner in known if owner is not None}


def _names(path: Path) -> tuple[str, ...]:
    """As packages may list a file: where /lib is a link to /usr/lib, still under the older name."""
    real = str(path.resolve())
    return real, real.removeprefix("/usr"), str(path)


def query(*arguments: str) -> str:
    """What `dpkg-query` prints, in English whatever the user's language; nothing where there is none."""
    program = shutil.which("dpkg-query")
    if program is None:
        return ""
    environment = {**os.environ, "LC_ALL": "C"}
    command = [program, *arguments]
    return subprocess.run(
        command, capture_output=True, encoding="utf-8", errors="replace", check=False, env=environment
    ).stdout
