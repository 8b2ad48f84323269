"""From facts to an ordered list of what goes where and why. Pure: the same inputs give the same plan.

`aotpack build --dry-run` prints it; `stage` makes it real. A strategy that the recipe names decides where the runtime's
libraries go: `FlatLayout` puts them in one folder, `layout_tree.TreeLayout` keeps the vendor's relative places.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path, PurePosixPath
from typing import Literal, Protocol

from aotpack.elf.facts import ElfEdit
from aotpack.errors import BuildToolError
from aotpack.libraries.closure import Closure, LeftOut, Library, Missing, Origin
from aotpack.libraries.recipe import Recipe, matches
from aotpack.package.metadata import ModelMetadata
from aotpack.package.model import EXTERN_KERNELS, WEIGHTS
from aotpack.runtime.slim_weights import Packing

#: Folders of a bundle.
LIB = "lib"
LIBC = "libc"
GCC = "lib/gcc"


class Part(str, Enum):
    """What a file is for; sizes are shown by part."""

    LAUNCHER = "launcher"
    LIBC = "libc"
    RUNTIME = "runtime"
    DATA = "data"
    BRIDGE = "bridge"
    PYTHON = "python"
    RUNNER = "runner"
    MODEL = "model"
    HEADERS = "headers"
    LICENSES = "licenses"


@dataclass(frozen=True)
class Copy:
    """A file of the build machine."""

    source: Path
    edit: ElfEdit = field(default_factory=ElfEdit)
    #: Must stay bit for bit what the vendor shipped.
    pristine: bool = False
    #: The content that the vendor's wheel recorded, where it did.
    wheel_sha256: str | None = None


@dataclass(frozen=True)
class Link:
    """A symbolic link: relative within a portable bundle, absolute to the venv in a development one."""

    target: str


@dataclass(frozen=True)
class Text:
    """Generated content."""

    data: bytes


@dataclass(frozen=True)
class Member:
    """An entry of a .pt2 archive."""

    archive: Path
    name: str
    edit: ElfEdit = field(default_factory=ElfEdit)
    executable: bool = False
    #: Weights in it to put into another order.
    packings: tuple[Packing, ...] = ()


@dataclass(frozen=True)
class Entry:
    """One file of the bundle to be."""

    destination: str
    part: Part
    #: Which ELF needs it or which line of the recipe names it.
    reason: str
    content: Copy | Link | Text | Member


@dataclass(frozen=True)
class PlannedModel:
    """A model and where its files come from."""

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


@dataclass(frozen=True)
class FlatLayout:
    """All in `lib/`: copies in a portable bundle, links to the venv in a development one."""

    runtime_folders: tuple[str, ...] = (LIB,)

    def entries(self, libraries: Sequence[Library], inputs: BuildInputs) -> Iterator[Entry]:
        """The libraries, and stubs for those that are left out."""
        bundled = {library.name: library for library in libraries}
        for library in libraries:
            early = _to_load_early(library, bundled, inputs.recipe) if inputs.portable else ()
            yield _flat(library, inputs, LIB, Part.RUNTIME, early)
        for stub in inputs.stubs:
            reason = f"a stub, {stub.replaces.reason}: the group {stub.replaces.group} is off"
            yield Entry(f"{LIB}/{stub.replaces.name}", Part.RUNTIME, reason, Copy(stub.path))


def _flat(library: Library, inputs: BuildInputs, folder: str, part: Part, early: tuple[str, ...] = ()) -> Entry:
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
            if matches(soname, (line.loader,)):
                early |= dict.fromkeys(name for name in bundled if matches(name, line.loads))
    return tuple(name for name in early if name not in library.elf.needed)


@dataclass(frozen=True)
class BuildInputs:
    """All that a plan follows from. Gathered by `build`, constructed by hand in tests."""

    recipe: Recipe
    portable: bool
    libc: Literal["bundled", "host"]
    #: What the roots of the runtime, the bridge and the models need.
    runtime: Closure
    #: The libraries of ours among them, by name: they are copied in every kind of bundle.
    own_libraries: frozenset[str]
    launcher: Path
    layout: Layout = field(default_factory=FlatLayout)
    #: GPUs whose code and data are kept, such as `sm_90` or `gfx90a`; empty for all.
    archs: tuple[str, ...] = ()
    stubs: tuple[Stub, ...] = ()
    #: What the runtime's libraries look for at run time; a layout that keeps a tree places it.
    data: tuple[DataFile, ...] = ()
    #: SHA-256 that wheels recorded of the runtime's libraries.
    wheel_hashes: Mapping[Path, str] = field(default_factory=dict)
    models: tuple[PlannedModel, ...] = ()
    #: The interpreter's files and what its extension modules need, or a link to the venv's in a development bundle.
    interpreter: tuple[Entry, ...] = ()
    interpreter_closure: Closure = field(default_factory=lambda: Closure(()))
    #: Further files as they are: runner, headers, pkg-config and CMake files, licence texts.
    files: tuple[Entry, ...] = ()


@dataclass(frozen=True)
class Saving:
    """What is left out by a choice, and the bytes that this spares the bundle."""

    choice: str
    size: int


@dataclass(frozen=True)
class BundlePlan:
    """What `stage` writes, in order, and what a person should know."""

    entries: tuple[Entry, ...]
    warnings: tuple[str, ...] = ()
    #: Sonames left to the target.
    host_libraries: tuple[str, ...] = ()
    #: Filled in by `--dry-run` alone.
    savings: tuple[Saving, ...] = ()


def plan_bundle(inputs: BuildInputs) -> BundlePlan:
    """Lay out a bundle. Raises BuildToolError when a library that is needed is nowhere on this machine."""
    _refuse_missing([*inputs.runtime.missing, *inputs.interpreter_closure.missing])
    entries = [Entry("bin/aotrun", Part.LAUNCHER, "starts the runner", Copy(inputs.launcher))]
    placed = list(_libraries(inputs))
    entries += placed
    for model in inputs.models:
        entries += _model(model, _search_path(model, inputs.layout, placed))
    entries += inputs.interpreter
    entries += inputs.files
    host = {need.soname for need in (*inputs.runtime.host, *inputs.interpreter_closure.host)}
    named = (soname for model in inputs.models for soname in model.needed)
    host |= {soname for soname in named if matches(soname, inputs.recipe.host_libraries)}
    if inputs.libc == "host" or not inputs.portable:
        libraries = (*inputs.runtime.libraries, *inputs.interpreter_closure.libraries)
        host |= {library.name for library in libraries if library.origin is Origin.GLIBC}
    warnings = tuple(
        f"{library.name}: {library.reason}, but recipes/{inputs.recipe.backend}.toml does not know it; it is included"
        for library in inputs.runtime.unknown
    )
    return BundlePlan(tuple(_unique(entries)), warnings, tuple(sorted(host)))


def _refuse_missing(missing: Sequence[Missing]) -> None:
    if not missing:
        return
    first = missing[0]
    others = f" (and {len(missing) - 1} more)" if missing[1:] else ""
    raise BuildToolError(
        f"{first.soname}: {first.reason}, but no folder of this machine holds it{others}",
        meaning="a bundle without it would not load",
        fix=f"install the package that provides {first.soname} (apt-file search {first.soname}), then build again",
        detail="\n".join(f"{need.soname}: {need.reason}" for need in missing),
    )


def _libraries(inputs: BuildInputs) -> Iterator[Entry]:
    runtime: list[Library] = []
    for library in inputs.runtime.libraries:
        if library.name in inputs.own_libraries:
            yield Entry(f"{LIB}/{library.name}", Part.BRIDGE, library.reason, Copy(library.path))
        elif library.origin is Origin.BUNDLED:
            runtime.append(library)
        else:
            yield from _system(library, inputs)
    yield from inputs.layout.entries(runtime, inputs)
    for library in inputs.interpreter_closure.libraries:
        if library.origin is Origin.BUNDLED:
            # Also when the runtime has it: an extension module looks in python/lib alone.
            yield _flat(library, inputs, "python/lib", Part.PYTHON)
        else:
            yield from _system(library, inputs)


def _system(library: Library, inputs: BuildInputs) -> Iterator[Entry]:
    """A library of glibc's or GCC's, where it does not stay on the target."""
    if library.origin is Origin.GLIBC and inputs.portable and inputs.libc == "bundled":
        yield Entry(f"{LIBC}/{library.name}", Part.LIBC, library.reason, Copy(library.path))
    elif library.origin is Origin.GCC and inputs.portable:
        yield Entry(f"{GCC}/{library.name}", Part.RUNTIME, library.reason, Copy(library.path))


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


def _search_path(model: PlannedModel, layout: Layout, placed: Sequence[Entry]) -> str:
    """Where model.so looks: for the runtime, and for what else it needs of its own, such as a HIP runtime."""
    places = (PurePosixPath(entry.destination) for entry in placed)
    # Not libc, which is on no library's path: the launcher alone names it.
    needed = [str(place.parent) for place in places if place.name in model.needed and place.parts[0] == LIB]
    folders = dict.fromkeys((*layout.runtime_folders, *needed, GCC))
    return ":".join(name if name.startswith("/") else f"$ORIGIN/../../{name}" for name in folders)


def _model(model: PlannedModel, search_path: str) -> Iterator[Entry]:
    import msgspec

    folder = f"models/{model.name}"
    document = msgspec.json.format(msgspec.json.encode(model.metadata), indent=1) + b"\n"
    yield Entry(f"{folder}/model.json", Part.MODEL, "what the model is", Text(document))
    for member, name in model.members:
        edit = ElfEdit()
        if name == "model.so":
            # Plain PyTorch links to libtorch_cpu.so, or to nothing: name the runtime that is in this bundle.
            torch_libraries = tuple(
                soname for soname in model.needed if matches(soname, ("libtorch*.so", "libc10*.so"))
            )
            edit = ElfEdit(
                search_path=search_path,
                remove_needed=tuple(name for name in torch_libraries if name not in model.runtime),
                add_needed=tuple(name for name in model.runtime if name not in model.needed),
                clear_executable_stack=True,
            )
        packings = model.packings if name == WEIGHTS else ()
        content = Member(model.archive, member, edit, packings=packings)
        yield Entry(f"{folder}/{name}", Part.MODEL, f"model {model.name}", content)
        if name == EXTERN_KERNELS:
            # libtorch's proxy executor wants a library beside the description of the ops; without the link, the bridge
            # would have to make one in a temporary folder.
            link = Link(f"../../{LIB}/libaot_proxy.so")
            yield Entry(f"{folder}/{Path(name).stem}.so", Part.MODEL, f"runs the ops of {name}", link)


def _unique(entries: Iterable[Entry]) -> Iterator[Entry]:
    """Each destination once; the first reason stands."""
    seen: set[str] = set()
    for entry in entries:
        if entry.destination not in seen:
            seen.add(entry.destination)
            yield entry
