"""Recipes: what a backend packs, as data (`recipes/*.toml`) in typed form.

A recipe names the libraries at the root of the closure, what is loaded lazily behind the loader's back, what the target
machine itself provides, which files may be edited, and where the torch comes from. The code that reads it knows no
library by name.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from aotpack import resources
from aotpack.backend import Backend
from aotpack.errors import AotpackError
from aotpack.patterns import matches_any
from aotpack_doctor.base import versions


class TorchSource(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which torch `aotpack init` installs and where it comes from."""

    version: str
    #: The package index that carries this variant; None for the user's default one.
    index: str | None = None
    #: Further requirements of the backend venv.
    packages: tuple[str, ...] = ()


class Dlopen(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Libraries that `loader` opens at run time; ELF headers do not name them."""

    loader: str
    #: fnmatch patterns of sonames; one that matches nothing is absent from this release.
    loads: tuple[str, ...]
    #: Followed only when this feature group is on; None means always.
    group: str | None = None


class Group(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A feature that a model may or may not need."""

    #: fnmatch patterns of sonames that belong to the group.
    libraries: tuple[str, ...]
    #: fnmatch patterns of imported symbols or ops that turn the group on.
    symbols: tuple[str, ...] = ()
    #: Groups that come on with it.
    needs: tuple[str, ...] = ()
    #: When off: a stub in the library's place, so that what NEEDs it still loads.
    stub: bool = False


class DataTree(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Files that a library looks for relative to itself."""

    #: fnmatch pattern of the library's file name.
    library: str
    #: File or folder, relative to the library's own folder; a glob.
    path: str
    #: How the library finds it, for people.
    lookup: str
    #: Whether the library does not work without it; the doctor asks for these (aotpack_doctor/reading/rocm.py).
    needed: bool = False
    #: Whether the library looks from its real place and not from the link that it was loaded by.
    follows_links: bool = False


class Edits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which libraries may be stripped or patched. A library that matches `never` is copied bit for bit."""

    strip: tuple[str, ...] = ()
    #: What they register for autograd, tracing and the like is not registered when they are loaded (`start`).
    shorten_start: tuple[str, ...] = ()
    #: Device code for other GPUs than those of `--arch` goes.
    trim: tuple[str, ...] = ()
    never: tuple[str, ...] = ()


class License(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Licence texts to carry: `glob` relative to site-packages, placed under `licenses/<component>/`."""

    component: str
    glob: str


class Driver(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What of the GPU's driver a program uses, on the machine that it runs on."""

    #: Globs of device nodes.
    devices: tuple[str, ...] = ()
    #: The driver's main library, by soname; the others lie beside it.
    library: str | None = None
    #: fnmatch patterns of file names of its libraries.
    libraries: tuple[str, ...] = ()


class DriverFloor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The oldest driver for a toolkit version: the driver it was released with, and the minor-version floor."""

    toolkit: str
    release: str
    minimum: str


class Recipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One backend's recipe. All library patterns are fnmatch patterns of file names."""

    schema: Literal[1]
    backend: Backend
    #: `flat`: libraries in one folder. `tree`: the vendor's relative places are kept.
    layout: Literal["flat", "tree"]
    torch: TorchSource
    #: Sonames that the bridge opens to start the full runtime, in this order.
    roots: tuple[str, ...]
    dlopen: tuple[Dlopen, ...] = ()
    groups: dict[str, Group] = {}
    data: tuple[DataTree, ...] = ()
    #: Sonames that only the target machine can provide (the driver).
    host_libraries: tuple[str, ...] = ()
    #: Libraries in the closure that need no remark; others are a named warning. Empty: everything is known.
    known_libraries: tuple[str, ...] = ()
    edits: Edits = Edits()
    licenses: tuple[License, ...] = ()
    driver: Driver = Driver()
    driver_floors: tuple[DriverFloor, ...] = ()

    def driver_floor(self, toolkit: str) -> DriverFloor | None:
        """The row for a toolkit such as `12.8` or `13.0.96`: of its own first two numbers; None where there is none."""
        release = versions.key(toolkit)[:2]
        return next((floor for floor in self.driver_floors if versions.key(floor.toolkit) == release), None)

    def may_strip(self, name: str) -> bool:
        """Whether the library of this file name loses its static symbols in a portable bundle."""
        return matches_any(name, self.edits.strip) and not matches_any(name, self.edits.never)

    def may_shorten_start(self, name: str) -> bool:
        """Whether the library of this file name runs fewer initialisers in a portable bundle."""
        return matches_any(name, self.edits.shorten_start) and not matches_any(name, self.edits.never)

    def may_trim(self, name: str) -> bool:
        """Whether the library of this file name loses device code that no GPU of `--arch` can use."""
        return matches_any(name, self.edits.trim) and not matches_any(name, self.edits.never)

    def may_edit(self, name: str) -> bool:
        """Whether the licence and the loader rules allow to change this file at all."""
        return not matches_any(name, self.edits.never)


def parse_recipe(text: str, origin: str) -> Recipe:
    """Typed recipe of TOML text; `origin` names the file in errors."""
    try:
        return msgspec.toml.decode(text, type=Recipe)
    except (msgspec.ValidationError, msgspec.DecodeError, ValueError) as error:
        raise AotpackError(
            f"{origin}: {error}",
            meaning="the recipe does not follow the format described in CONTRIBUTING.md",
            fix=f"mend {origin}, or reinstall aotpack if you did not change it",
        ) from error


def load_recipe(backend: Backend, folder: Path = resources.RECIPES) -> Recipe:
    """The recipe that ships for a backend."""
    path = folder / f"{backend}.toml"
    return parse_recipe(path.read_text(encoding="utf-8"), str(path))
