"""From facts to an ordered list of what goes where and why. Pure: the same inputs give the same plan.

`aotpack build --dry-run` prints it; `stage` makes it real. A strategy decides where libraries go: `flat` puts them in
one folder, `tree` keeps the vendor's relative places (a recipe names which).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Literal

from aotpack.closure import Closure, Library, Missing, Origin
from aotpack.elf import ElfEdit
from aotpack.errors import BuildToolError
from aotpack.metadata import ModelMetadata
from aotpack.model import EXTERN_KERNELS
from aotpack.recipe import Recipe, matches

#: Folders of a bundle.
LIB = "lib"
LIBC = "libc"
GCC = "lib/gcc"


class Part(str, Enum):
    """What a file is for; sizes are shown by part."""

    LAUNCHER = "launcher"
    LIBC = "libc"
    RUNTIME = "runtime"
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
    models: tuple[PlannedModel, ...] = ()
    #: The interpreter's files and what its extension modules need, or a link to the venv's in a development bundle.
    interpreter: tuple[Entry, ...] = ()
    interpreter_closure: Closure = field(default_factory=lambda: Closure(()))
    #: Further files as they are: runner, headers, pkg-config and CMake files, licence texts.
    files: tuple[Entry, ...] = ()


@dataclass(frozen=True)
class BundlePlan:
    """What `stage` writes, in order, and what a person should know."""

    entries: tuple[Entry, ...]
    warnings: tuple[str, ...] = ()
    #: Sonames left to the target.
    host_libraries: tuple[str, ...] = ()


def plan_bundle(inputs: BuildInputs) -> BundlePlan:
    """Lay out a bundle. Raises BuildToolError when a library that is needed is nowhere on this machine."""
    _refuse_missing([*inputs.runtime.missing, *inputs.interpreter_closure.missing])
    entries = [Entry("bin/aotrun", Part.LAUNCHER, "starts the runner", Copy(inputs.launcher))]
    entries += _libraries(inputs)
    for model in inputs.models:
        entries += _model(model)
    entries += inputs.interpreter
    entries += inputs.files
    host = {need.soname for need in (*inputs.runtime.host, *inputs.interpreter_closure.host)}
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
    by_interpreter = {library.name for library in inputs.interpreter_closure.libraries}
    for library in inputs.runtime.libraries:
        if entry := _library(library, inputs, LIB, Part.RUNTIME):
            yield entry
    names = {library.name for library in inputs.runtime.libraries}
    for library in inputs.interpreter_closure.libraries:
        if library.name in names and library.origin is Origin.BUNDLED:
            continue
        if library.name in by_interpreter and (entry := _library(library, inputs, "python/lib", Part.PYTHON)):
            yield entry


def _library(library: Library, inputs: BuildInputs, folder: str, part: Part) -> Entry | None:
    """Where one library goes, or None when it stays on the target."""
    if library.name in inputs.own_libraries:
        return Entry(f"{LIB}/{library.name}", Part.BRIDGE, library.reason, Copy(library.path))
    if library.origin is Origin.GLIBC:
        if not inputs.portable or inputs.libc == "host":
            return None
        return Entry(f"{LIBC}/{library.name}", Part.LIBC, library.reason, Copy(library.path))
    if library.origin is Origin.GCC:
        if not inputs.portable:
            return None
        return Entry(f"{GCC}/{library.name}", Part.RUNTIME, library.reason, Copy(library.path))
    if not inputs.portable:
        return Entry(f"{folder}/{library.name}", part, library.reason, Link(str(library.path)))
    return Entry(f"{folder}/{library.name}", part, library.reason, copy_of(library, inputs.recipe))


def copy_of(library: Library, recipe: Recipe) -> Copy:
    """A portable copy: stripped and relative where the recipe allows, bit for bit otherwise."""
    if not recipe.may_edit(library.name):
        return Copy(library.path, pristine=True)
    search = library.elf.rpath or library.elf.runpath
    relative = tuple(text for text in search if not _leaves(text))
    # A library that finds its neighbours already is left as it is: every edit is a risk.
    needs_path = relative != search or (library.elf.needed and "$ORIGIN" not in relative)
    path = ":".join(dict.fromkeys(("$ORIGIN", *relative))) if needs_path else None
    return Copy(library.path, ElfEdit(strip=recipe.may_strip(library.name), search_path=path))


def _leaves(text: str) -> bool:
    """Whether a search path entry of a library in lib/ names a place outside of lib/."""
    return not text.startswith(("$ORIGIN", "${ORIGIN}")) or ".." in Path(text).parts


def _model(model: PlannedModel) -> Iterator[Entry]:
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
                search_path=f"$ORIGIN/../../{LIB}:$ORIGIN/../../{GCC}",
                remove_needed=tuple(name for name in torch_libraries if name not in model.runtime),
                add_needed=tuple(name for name in model.runtime if name not in model.needed),
                clear_executable_stack=True,
            )
        yield Entry(f"{folder}/{name}", Part.MODEL, f"model {model.name}", Member(model.archive, member, edit))
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
