"""Which libraries a set of roots needs: ELF NEEDED plus the recipe's table of what is opened at run time.

Pure over a `Finder`; `DiskFinder` is the one that looks at this machine.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from pathlib import Path
from typing import Protocol

from aotpack.elf import Elf, read_elf
from aotpack.recipe import Recipe, matches

#: glibc's own shared objects. They and the loader only work together, so they travel together or not at all.
GLIBC = (
    "ld-linux*.so.*",
    "ld64.so.*",
    "libBrokenLocale.so.1",
    "libanl.so.1",
    "libc.so.6",
    "libdl.so.2",
    "libm.so.6",
    "libmvec.so.1",
    "libnsl.so.1",
    "libnss_*.so.2",
    "libpthread.so.0",
    "libresolv.so.2",
    "librt.so.1",
    "libutil.so.1",
)
#: GCC's run-time libraries that a C++ host program may bring in a newer version of its own.
GCC_RUNTIME = ("libstdc++.so.6", "libgcc_s.so.1")


class Origin(Enum):
    """Whose library it is, which decides where it goes in a bundle and whether it may be left out."""

    GLIBC = "libc"
    GCC = "gcc"
    #: Everything else that travels: torch's, the vendor's, ours, a distribution's.
    BUNDLED = "bundled"


def origin_of(soname: str) -> Origin:
    """Origin of a library by its name."""
    if matches(soname, GLIBC):
        return Origin.GLIBC
    return Origin.GCC if matches(soname, GCC_RUNTIME) else Origin.BUNDLED


class Finder(Protocol):
    """How names become files and files become facts."""

    def find(self, soname: str, requester: Path | None) -> Path | None:
        """The file that the loader would take for `soname` when `requester` needs it."""
        ...

    def read(self, path: Path) -> Elf:
        """Facts of a file."""
        ...


@dataclass(frozen=True)
class Library:
    """One member of a closure."""

    #: The name it is asked for by, and so the file name it must have.
    name: str
    path: Path
    elf: Elf
    #: Which ELF needs it or which line of the recipe names it.
    reason: str

    @property
    def origin(self) -> Origin:
        """Whose library it is."""
        return origin_of(self.name)


@dataclass(frozen=True)
class Missing:
    """A need that nothing on this machine satisfies."""

    soname: str
    reason: str


@dataclass(frozen=True)
class Closure:
    """All that the roots need, each name once, roots first, in the order met."""

    libraries: tuple[Library, ...]
    #: Sonames that only the target machine provides, with the reason.
    host: tuple[Missing, ...] = ()
    missing: tuple[Missing, ...] = ()
    #: Met but in no table of the recipe.
    unknown: tuple[Library, ...] = ()


@dataclass(frozen=True)
class Root:
    """Where a walk starts."""

    name: str
    path: Path
    reason: str


def walk(
    roots: Sequence[Root],
    finder: Finder,
    recipe: Recipe | None = None,
    *,
    features: frozenset[str] = frozenset(),
    provided: Iterable[str] = (),
) -> Closure:
    """Follow needs from the roots.

    Args:
        roots: files to start from; they are members of the result.
        finder: resolves names and reads files.
        recipe: its dlopen table is followed and its host libraries are left to the target; None for none.
        features: feature groups that are on; dlopen lines and libraries of other groups are not followed.
        provided: sonames that something else supplies; they are not followed.
    """
    libraries: dict[str, Library] = {}
    host: dict[str, Missing] = {}
    missing: dict[str, Missing] = {}
    unknown: list[Library] = []
    supplied = frozenset(provided)
    queue = deque((root.name, root.path, root.reason) for root in roots)
    while queue:
        name, path, reason = queue.popleft()
        if name in libraries:
            continue
        library = Library(name, path, finder.read(path), reason)
        libraries[name] = library
        if recipe and recipe.known_libraries and library.origin is Origin.BUNDLED:
            known = (*recipe.known_libraries, *recipe.roots)
            if not matches(name, known):
                unknown.append(library)
        wanted = [(soname, f"needed by {name}") for soname in library.elf.needed]
        if recipe:
            wanted += [(soname, f"opened at run time by {name}") for soname in _opened_by(name, recipe, features)]
        for soname, why in wanted:
            if soname in libraries or soname in supplied:
                continue
            if recipe and matches(soname, recipe.host_libraries):
                host.setdefault(soname, Missing(soname, why))
            elif found := finder.find(soname, path):
                queue.append((soname, found, why))
            elif not (recipe and _may_be_absent(soname, name, recipe)):
                missing.setdefault(soname, Missing(soname, why))
    return Closure(tuple(libraries.values()), tuple(host.values()), tuple(missing.values()), tuple(unknown))


def _opened_by(name: str, recipe: Recipe, features: frozenset[str]) -> Iterable[str]:
    for line in recipe.dlopen:
        if matches(name, (line.loader,)) and (line.group is None or line.group in features):
            yield from line.loads


def _may_be_absent(soname: str, requester: str, recipe: Recipe) -> bool:
    """What is only opened at run time may be absent from a given release; a hard need may not."""
    return any(soname in line.loads and matches(requester, (line.loader,)) for line in recipe.dlopen)


@dataclass
class DiskFinder:
    """Looks where the loader of this machine looks: the requester's search path, given folders, the system's."""

    #: Folders to search before the system's, such as torch/lib.
    folders: tuple[Path, ...] = ()
    machine: str = "x86_64"
    _facts: dict[Path, Elf] = field(default_factory=dict)

    @cached_property
    def system(self) -> tuple[Path, ...]:
        """The system's library folders, from ld.so.conf and the loader's defaults."""
        from auditwheel.lddtree import load_ld_paths
        from auditwheel.libc import Libc

        paths = load_ld_paths(Libc.GLIBC)
        return tuple(dict.fromkeys(Path(path) for kind in ("conf", "interp") for path in paths[kind]))

    def read(self, path: Path) -> Elf:
        """Facts of a file, read once."""
        if path not in self._facts:
            self._facts[path] = read_elf(path)
        return self._facts[path]

    def find(self, soname: str, requester: Path | None) -> Path | None:
        """The file for `soname`: the requester's RPATH or RUNPATH, our folders, then the system's."""
        if "/" in soname:
            return None  # a path in NEEDED never survives a move
        own: list[Path] = []
        if requester is not None:
            facts = self.read(requester)
            own = [expand_origin(text, requester) for text in facts.runpath or facts.rpath]
        for folder in (*own, *self.folders, *self.system):
            candidate = folder / soname
            if candidate.is_file() and self._fits(candidate):
                return candidate
        return None

    def _fits(self, path: Path) -> bool:
        try:
            return self.read(path).machine == self.machine
        except (OSError, ValueError):
            return False  # a linker script or another machine's library: the loader passes over it as well


def expand_origin(text: str, requester: Path) -> Path:
    """A search path entry with `$ORIGIN` replaced by the folder that the file was opened through."""
    origin = str(requester.parent)
    return Path(text.replace("${ORIGIN}", origin).replace("$ORIGIN", origin))
