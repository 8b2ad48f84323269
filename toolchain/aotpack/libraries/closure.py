"""Which libraries a set of roots needs: ELF NEEDED plus the recipe's table of what is opened at run time.

Pure over a `Finder`; `DiskFinder` is the one that looks at this machine.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from aotpack.elf.facts import Elf
from aotpack.libraries.features import group_that_stubs
from aotpack.libraries.origins import Origin, origin_of
from aotpack.libraries.recipe import Recipe
from aotpack.patterns import matches_any


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
    host = {root.name: Missing(root.name, root.reason) for root in roots if matches_any(root.name, on_host)}
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
            if matches_any(soname, on_host):
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
    return not in_scope or matches_any(library.name, recipe.known_libraries)


def _opened_by(
    library: Library, recipe: Recipe, finder: Finder, features: frozenset[str]
) -> Iterable[tuple[str, Path]]:
    for line in recipe.dlopen:
        if matches_any(library.name, (line.loader,)) and (line.group is None or line.group in features):
            for pattern in line.loads:
                yield from finder.match(pattern, library.path)
