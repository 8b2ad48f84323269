"""The layout of ROCm bundles: the vendor's folders stay as they are. Pure apart from `find_data`.

ROCm's libraries find each other and their data relative to themselves, each in its own way: by the name that the loader
knows them by, or by their canonical path, in folders beside them or one up. A copy that keeps every relative place
serves them all; renaming, flattening or linking a single file breaks one or the other. So site-packages becomes `lib/`:

    site-packages/torch/lib/libtorch_hip.so      lib/torch/lib/libtorch_hip.so
    site-packages/_rocm_sdk_core/lib/...         lib/_rocm_sdk_core/lib/...

A development bundle holds none of it: its bridge looks in the real `torch/lib`.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from aotpack.bundle.entries import Copy, Entry, Link, Part
from aotpack.bundle.flat_layout import copy_of
from aotpack.bundle.inputs import BuildInputs, DataFile
from aotpack.elf.edits import ElfEdit
from aotpack.errors import AotpackError
from aotpack.gpu import gfx
from aotpack.libraries.closure import Library
from aotpack.libraries.recipe import Recipe
from aotpack.patterns import matches_any
from aotpack_doctor.base.places import LIB
from aotpack_doctor.base.search_path import inside


@dataclass(frozen=True)
class TreeLayout:
    """Keeps the relative places of what lies in site-packages.

    Attributes:
        torch_root: the `torch` folder, or an unpacked libtorch.
        site_packages: the folder that holds it; None for a libtorch.
        portable: False places nothing but the bridge.
    """

    torch_root: Path
    site_packages: Path | None
    portable: bool

    @property
    def runtime_folders(self) -> tuple[str, ...]:
        """Where libtorch is: relative to the bundle, or absolute in a development bundle."""
        return (f"{LIB}/torch/lib",) if self.portable else (str(self.torch_root / "lib"),)

    def place_of(self, path: Path) -> str | None:
        """Where a file of the vendor's tree goes; None for files from elsewhere."""
        if path.is_relative_to(self.torch_root):
            return f"{LIB}/torch/{path.relative_to(self.torch_root).as_posix()}"
        if self.site_packages and path.is_relative_to(self.site_packages):
            return f"{LIB}/{path.relative_to(self.site_packages).as_posix()}"
        return None

    def entries(self, libraries: Sequence[Library], inputs: BuildInputs) -> Iterator[Entry]:
        """Place the runtime's libraries and the data that they look for.

        Raises:
            AotpackError: a library of the vendor names a place outside of its tree, or two files are the same library.
        """
        if not self.portable:
            return
        _refuse_two_instances(libraries)
        system = {library.name: library for library in libraries if self.place_of(library.path) is None}
        placed: dict[Path, str] = {}
        for library in libraries:
            place = self.place_of(library.path)
            if place is None:
                yield Entry(f"{LIB}/{library.name}", Part.RUNTIME, library.reason, copy_of(library, inputs.recipe))
                continue
            if library.path not in placed:
                placed[library.path] = place
                _refuse_outside(library, place, inputs.recipe)
                name = library.name
                edit = ElfEdit(strip=inputs.recipe.may_strip(name), shorten_start=inputs.recipe.may_shorten_start(name))
                yield Entry(place, Part.RUNTIME, library.reason, Copy(library.path, edit))
                yield from _neighbours(library, place, system)
            if library.name != library.path.name:
                # A link beside the file: the loader sees one inode, so there is one instance whatever it is called.
                alias = str(PurePosixPath(place).with_name(library.name))
                yield Entry(alias, Part.RUNTIME, library.reason, Link(library.path.name))
        yield from self._data(inputs)

    def _data(self, inputs: BuildInputs) -> Iterator[Entry]:
        targets = [gfx.parse_target(arch) for arch in inputs.archs]
        for file in inputs.data:
            place = self.place_of(file.source)
            if place and gfx.keeps(file.tree_path, targets):
                yield Entry(place, Part.DATA, f"{file.library} looks for it: {file.lookup}", Copy(file.source))


def _neighbours(library: Library, place: str, system: dict[str, Library]) -> Iterator[Entry]:
    """Links beside a library to what it needs of the build machine's system, unless its own path leads there."""
    folder = PurePosixPath(place).parent
    search = {inside(text, str(folder)) for text in library.elf.runpath or library.elf.rpath}
    for soname in library.elf.needed:
        if soname in system and LIB not in search:
            link = f"{folder}/{soname}"
            target = posixpath.relpath(f"/{LIB}/{soname}", f"/{folder}")
            yield Entry(link, Part.RUNTIME, f"needed by {library.name}", Link(target))


def _refuse_outside(library: Library, place: str, recipe: Recipe) -> None:
    for text in (*library.elf.rpath, *library.elf.runpath):
        led = inside(text, str(PurePosixPath(place).parent))
        if led is None or not (led == LIB or led.startswith(f"{LIB}/")):
            raise AotpackError(
                f"{library.path}: searches {text}, outside of the packages that hold it",
                meaning="a portable bundle cannot hold this library: elsewhere it would take whatever lies there",
                fix=f"install a build that brings its own {recipe.backend} libraries, or build without --portable",
            )


def _refuse_two_instances(libraries: Sequence[Library]) -> None:
    """Two files with one SONAME would be two instances in one process, each with a state of its own."""
    seen: dict[str, Library] = {}
    for library in libraries:
        soname = library.elf.soname or library.name
        other = seen.setdefault(soname, library)
        if other.path != library.path:
            raise AotpackError(
                f"{soname} is there twice: {other.path} ({other.reason}) and {library.path} ({library.reason})",
                meaning="a process would hold two instances of it, and what one of them opens the other does not know",
                fix=f"make both find the same file: remove one, or correct what leads to {library.path.parent}",
            )


def find_data(libraries: Sequence[Library], recipe: Recipe) -> tuple[DataFile, ...]:
    """The files that these libraries look for at run time, as the recipe's data lines say. Reads the disk."""
    found: dict[Path, DataFile] = {}
    for library in libraries:
        for line in recipe.data:
            if not matches_any(library.path.name, (line.library,)):
                continue
            pattern = Path(os.path.normpath(library.path.parent / line.path))
            for match in sorted(pattern.parent.glob(pattern.name)):
                for file in sorted(match.rglob("*")) if match.is_dir() else [match]:
                    if file.is_file():
                        tree_path = file.relative_to(match.parent).as_posix()
                        found.setdefault(file, DataFile(file, tree_path, library.name, line.lookup))
    return tuple(found.values())
