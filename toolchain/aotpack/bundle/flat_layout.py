"""All libraries in one folder: the layout of CPU and CUDA bundles."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from aotpack.bundle.entries import Copy, Entry, Link, Part
from aotpack.bundle.inputs import BuildInputs
from aotpack.elf.edits import ElfEdit
from aotpack.libraries.closure import Library
from aotpack.libraries.recipe import Recipe
from aotpack.patterns import matches_any
from aotpack_doctor.base.places import LIB


@dataclass(frozen=True)
class FlatLayout:
    """All in `lib/`: copies in a portable bundle, links to the venv in a development one."""

    runtime_folders: tuple[str, ...] = (LIB,)

    def entries(self, libraries: Sequence[Library], inputs: BuildInputs) -> Iterator[Entry]:
        """The libraries, and stubs for those that are left out."""
        bundled = {library.name: library for library in libraries}
        for library in libraries:
            early = _to_load_early(library, bundled, inputs.recipe) if inputs.portable else ()
            yield flat_entry(library, inputs, LIB, Part.RUNTIME, early)
        for stub in inputs.stubs:
            reason = f"a stub, {stub.replaces.reason}: the group {stub.replaces.group} is off"
            yield Entry(f"{LIB}/{stub.replaces.name}", Part.RUNTIME, reason, Copy(stub.path))


def flat_entry(library: Library, inputs: BuildInputs, folder: str, part: Part, early: tuple[str, ...] = ()) -> Entry:
    """The entry of one library: a link in a development bundle, else a copy that loads `early` first."""
    destination = f"{folder}/{library.name}"
    if not inputs.portable:
        return Entry(destination, part, library.reason, Link(str(library.path)))
    copy = copy_of(library, inputs.recipe, inputs.archs)
    if copy.pristine:
        copy = replace(copy, wheel_sha256=inputs.wheel_hashes.get(library.path))
    elif early:
        copy = replace(copy, edit=replace(copy.edit, add_needed=early))
    return Entry(destination, part, library.reason, copy)


def _to_load_early(library: Library, bundled: Mapping[str, Library], recipe: Recipe) -> tuple[str, ...]:
    """Sonames that a library must need itself, for the sake of what it links to.

    A vendor's file that may not be patched can search a folder outside of the bundle before its own (cuSPARSE of
    CUDA 12: `$ORIGIN/../../nvjitlink/lib:$ORIGIN`). The loader searches nowhere for what is loaded already, and it
    loads all that one library needs before what those need in turn.
    """
    early: dict[str, None] = {}
    for soname in library.elf.needed:
        other = bundled.get(soname)
        if (
            other is None
            or recipe.may_edit(soname)
            or not _leaves((other.elf.runpath or other.elf.rpath or ("$ORIGIN",))[0])
        ):
            continue
        early |= dict.fromkeys(name for name in other.elf.needed if name in bundled)
        for line in recipe.dlopen:
            if matches_any(soname, (line.loader,)):
                early |= dict.fromkeys(name for name in bundled if matches_any(name, line.loads))
    return tuple(name for name in early if name not in library.elf.needed)


def copy_of(library: Library, recipe: Recipe, archs: tuple[str, ...] = ()) -> Copy:
    """A portable copy: smaller and relative where the recipe allows, bit for bit otherwise."""
    if not recipe.may_edit(library.name):
        return Copy(library.path, pristine=True)
    search = library.elf.rpath or library.elf.runpath
    relative = tuple(text for text in search if not _leaves(text))
    # A library that finds its neighbours already is left as it is: every edit is a risk.
    needs_path = relative != search or (library.elf.needed and "$ORIGIN" not in relative)
    path = ":".join(dict.fromkeys(("$ORIGIN", *relative))) if needs_path else None
    kept = archs if recipe.may_trim(library.name) else ()
    edit = ElfEdit(
        strip=recipe.may_strip(library.name),
        shorten_start=recipe.may_shorten_start(library.name),
        search_path=path,
        device_code_for=kept,
    )
    return Copy(library.path, edit)


def _leaves(text: str) -> bool:
    """Whether a search path entry of a library in lib/ names a place outside of lib/."""
    return not text.startswith(("$ORIGIN", "${ORIGIN}")) or ".." in Path(text).parts
