"""Which libraries a set of roots needs: ELF NEEDED plus the recipe's table of what is opened at run time.

Pure over a `Finder`; `DiskFinder` is the one that looks at this machine.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from pathlib import Path
from typing import Protocol

from aotpack.elf.facts import Elf, read_elf
from aotpack.libraries.features import group_that_stubs
from aotpack.libraries.recipe import Recipe, matches

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

    def match(self, pattern: str, requester: Path | None) -> Sequence[tuple[str, Path]]:
        """Names that fit a pattern of the recipe, each with its file: beside the requester and in the given folders."""
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
class LeftOut:
    """A library that is linked to and never called: a stub takes its place."""

    name: str
    path: Path
    #: The group that is off.
    group: str
    reason: str


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
    left_out: tuple[LeftOut, ...] = ()


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
    features: frozenset[str] | None = None,
    provided: Iterable[str] = (),
) -> Closure:
    """Follow needs from the roots.

    Args:
        roots: files to start from; they are members of the result.
        finder: resolves names and reads files.
        recipe: its dlopen table is followed and its host libraries are left to the target; None for none.
        features: feature groups that are on; the others' libraries are left out and their dlopen lines not followed.
            None: all are on.
        provided: sonames that something else supplies; they are not followed.
    """
    libraries: dict[str, Library] = {}
    missing: dict[str, Missing] = {}
    unknown: list[Library] = []
    left_out: dict[str, LeftOut] = {}
    supplied = frozenset(provided)
    on = frozenset(recipe.groups) if recipe and features is None else features or frozenset()
    named = {root.name for root in roots}
    on_host = recipe.host_libraries if recipe else ()
    # A driver's library stays on the target even where this machine has one: a model names it like any other.
    host = {root.name: Missing(root.name, root.reason) for root in roots if matches(root.name, on_host)}
    queue = deque((root.name, root.path, root.reason) for root in roots if root.name not in host)
    while queue:
        name, path, reason = queue.popleft()
        if name in libraries:
            continue
        library = Library(name, path, finder.read(path), reason)
        libraries[name] = library
        if recipe and name not in named and not _is_known(library, recipe):
            unknown.append(library)
        why = f"needed by {name}"
        for soname in library.elf.needed:
            if soname in libraries or soname in supplied:
                continue
            if matches(soname, on_host):
                host.setdefault(soname, Missing(soname, why))
            elif (found := finder.find(soname, path)) is None:
                missing.setdefault(soname, Missing(soname, why))
            elif recipe and (group := group_that_stubs(recipe, soname, on)):
                left_out.setdefault(soname, LeftOut(soname, found, group, why))
            else:
                queue.append((soname, found, why))
        if recipe:
            # What is only opened at run time may be absent from a given release; a hard need may not.
            for soname, found in _opened_by(library, recipe, finder, on):
                if soname not in supplied and not group_that_stubs(recipe, soname, on):
                    queue.append((soname, found, f"opened at run time by {name}"))
    return Closure(
        tuple(libraries.values()),
        tuple(host.values()),
        tuple(missing.values()),
        tuple(unknown),
        tuple(left_out.values()),
    )


def _is_known(library: Library, recipe: Recipe) -> bool:
    in_scope = recipe.known_libraries and library.origin is Origin.BUNDLED
    return not in_scope or matches(library.name, recipe.known_libraries)


def _opened_by(
    library: Library, recipe: Recipe, finder: Finder, features: frozenset[str]
) -> Iterable[tuple[str, Path]]:
    for line in recipe.dlopen:
        if matches(library.name, (line.loader,)) and (line.group is None or line.group in features):
            for pattern in line.loads:
                yield from finder.match(pattern, library.path)


@dataclass
class DiskFinder:
    """Looks where the loader of this machine looks: the requester's search path, given folders, the system's."""

    #: Folders to search before the system's, such as torch/lib.
    folders: tuple[Path, ...] = ()
    machine: str = "x86_64"
    _facts: dict[Path, Elf] = field(default_factory=dict)
    _aliases: dict[Path, dict[str, Path]] = field(default_factory=dict)

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
        for folder in (*self._own(requester), *self.folders):
            if self._fits(folder / soname):
                return folder / soname
        # Wheels of ROCm rename files and leave their SONAMEs: whoever asks by SONAME means the file there, not another.
        for folder in self.folders:
            if found := self._by_soname(folder).get(soname):
                return found
        return next((folder / soname for folder in self.system if self._fits(folder / soname)), None)

    def match(self, pattern: str, requester: Path | None) -> Sequence[tuple[str, Path]]:
        """Libraries whose names fit a pattern: beside the requester, on its search path and in our folders."""
        beside = (requester.parent,) if requester else ()
        found: dict[str, Path] = {}
        for folder in (*beside, *self._own(requester), *self.folders):
            for path in sorted(folder.glob(pattern)):
                if path.name not in found and self._fits(path):
                    found[path.name] = path
        return tuple(found.items())

    def _own(self, requester: Path | None) -> list[Path]:
        """The search path of a library."""
        if requester is None:
            return []
        facts = self.read(requester)
        return [_tidy(expand_origin(text, requester)) for text in facts.runpath or facts.rpath]

    def _by_soname(self, folder: Path) -> dict[str, Path]:
        """SONAME -> file of the libraries in a folder that are named otherwise."""
        if folder not in self._aliases:
            libraries = [path for path in sorted(folder.glob("*.so*")) if self._fits(path)]
            named = {self.read(path).soname: path for path in libraries if self.read(path).soname != path.name}
            self._aliases[folder] = {soname: path for soname, path in named.items() if soname}
        return self._aliases[folder]

    def _fits(self, path: Path) -> bool:
        if not path.is_file():
            return False
        try:
            return self.read(path).machine == self.machine
        except (OSError, ValueError):
            return False  # a linker script or another machine's library: the loader passes over it as well


def _tidy(folder: Path) -> Path:
    """The same folder without `..`, so that one file has one path."""
    plain = Path(os.path.normpath(folder))
    return plain if plain.is_dir() and plain.samefile(folder) else folder


def expand_origin(text: str, requester: Path) -> Path:
    """A search path entry with `$ORIGIN` replaced by the folder that the file was opened through."""
    origin = str(requester.parent)
    return Path(text.replace("${ORIGIN}", origin).replace("$ORIGIN", origin))
