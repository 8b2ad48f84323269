"""What a plan is made from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from aotpack.bundle.entries import Entry
from aotpack.elf.renaming import Renaming
from aotpack.environment.torch import TorchInfo
from aotpack.libraries.closure import Closure, LeftOut, Library
from aotpack.libraries.recipe import Recipe
from aotpack.package.metadata import ModelMetadata
from aotpack.runtime.slim_weights import Packing


@dataclass(frozen=True)
class PlannedModel:
    """A model and where its files come from."""

    #: Its folder below `models/`: a name, or for a variant with a folder of its own the model's name and its own.
    name: str
    metadata: ModelMetadata
    archive: Path
    #: Archive entry -> name below `models/NAME/`; `model.so` is the one that gets loaded.
    members: tuple[tuple[str, str], ...]
    #: What model.so needs by name.
    needed: tuple[str, ...] = ()
    #: Sonames that model.so must name to find its runtime.
    runtime: tuple[str, ...] = ()
    #: Weights that this runtime wants in another order than the package has them.
    packings: tuple[Packing, ...] = ()
    #: First byte and size of what its own file of weights has of the package's, in its order; None for all of it. The
    #: places of `packings` are in that file.
    ranges: tuple[tuple[int, int], ...] | None = None
    #: What this runtime's functions are called.
    renaming: Renaming = field(default_factory=Renaming)

    @property
    def is_variant(self) -> bool:
        """Whether another model lists it."""
        return "/" in self.name


@dataclass(frozen=True)
class Stub:
    """A generated library in the place of one that is left out."""

    replaces: LeftOut
    path: Path


@dataclass(frozen=True)
class DataFile:
    """A file that a library looks for at run time."""

    source: Path
    #: Below the folder that the library looks for.
    tree_path: str
    library: str
    #: How the library finds it, for people.
    lookup: str


class Layout(Protocol):
    """Where the runtime's libraries go: those that are neither ours nor libc's nor GCC's."""

    @property
    def runtime_folders(self) -> tuple[str, ...]:
        """Folders that hold libtorch: of the bundle, or absolute ones of this machine in a development bundle."""
        ...

    def entries(self, libraries: Sequence[Library], inputs: BuildInputs) -> Iterator[Entry]:
        """The libraries and what must lie beside them."""
        ...


@dataclass(frozen=True, kw_only=True)
class BuildInputs:
    """All that a plan and a description follow from. Gathered by `build`, constructed by hand in tests."""

    torch: TorchInfo
    recipe: Recipe
    #: First line of the compiler's `--version`.
    compiler: str
    portable: bool
    libc: Literal["bundled", "host"]
    runtime: Literal["full", "slim"]
    #: Why this runtime, in a phrase.
    runtime_reason: str
    #: What the roots of the runtime, the bridge and the models need.
    libraries: Closure
    #: The libraries of ours among them, by name: they are copied in every kind of bundle.
    own_libraries: frozenset[str]
    launcher: Path
    layout: Layout
    #: GPUs whose code and data are kept, such as `sm_90` or `gfx90a`; empty for all.
    archs: tuple[str, ...] = ()
    #: Feature groups that a portable bundle carries.
    features: tuple[str, ...] = ()
    stubs: tuple[Stub, ...] = ()
    #: What the runtime's libraries look for at run time; a layout that keeps a tree places it.
    data: tuple[DataFile, ...] = ()
    #: SHA-256 that wheels recorded of the runtime's libraries.
    wheel_hashes: Mapping[Path, str] = field(default_factory=dict)
    models: tuple[PlannedModel, ...] = ()
    #: Name below `assets/` -> file.
    assets: tuple[tuple[str, Path], ...] = ()
    #: The interpreter's files and what its extension modules need, or a link to the venv's in a development bundle.
    interpreter: tuple[Entry, ...] = ()
    interpreter_closure: Closure = field(default_factory=lambda: Closure(()))
    #: Version of the bundled or linked interpreter; None when the target\'s is used.
    python_version: str | None = None
    #: Further files as they are: runner, headers, pkg-config and CMake files, licence texts.
    files: tuple[Entry, ...] = ()


@dataclass(frozen=True)
class Saving:
    """What is left out by a choice, and the bytes that this spares the bundle."""

    choice: str
    size: int
