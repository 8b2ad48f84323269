"""Which packages of Debian and its descendants files came with; nothing elsewhere, where no one says."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from aotpack.tools import running
from aotpack.tools.programs import look_for_program


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
    """What `dpkg-query` prints; nothing where there is none."""
    program = look_for_program("dpkg-query")
    return "" if program is None else running.run([program, *arguments]).output
