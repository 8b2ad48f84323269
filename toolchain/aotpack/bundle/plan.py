"""From facts to an ordered list of what goes where and why. Pure: the same inputs give the same plan.

`aotpack build --dry-run` prints it; `stage` makes it real. A strategy that the recipe names decides where the runtime's
libraries go: `FlatLayout` puts them in one folder, `layout_tree.TreeLayout` keeps the vendor's relative places.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from aotpack.bundle.entries import Copy, Entry, Link, Member, Part, Text
from aotpack.bundle.flat_layout import flat_entry
from aotpack.bundle.inputs import BuildInputs, Layout, PlannedModel, Saving
from aotpack.elf.edits import ElfEdit
from aotpack.errors import BuildToolError
from aotpack.gpu.archs import unserved
from aotpack.libraries.closure import Library, Missing
from aotpack.libraries.origins import Origin
from aotpack.package.metadata import LIBRARY, WEIGHTS
from aotpack.package.model import EXTERN_KERNELS
from aotpack.patterns import matches_any
from aotpack_doctor.base.places import ASSETS, GCC, LAUNCHER, LIB, LIBC, MODELS, PROXY, PYTHON_LIB


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
    _refuse_missing([*inputs.libraries.missing, *inputs.interpreter_closure.missing])
    entries = [Entry(LAUNCHER, Part.LAUNCHER, "starts the runner", Copy(inputs.launcher))]
    placed = list(_libraries(inputs))
    entries += placed
    for model in inputs.models:
        entries += _model(model, _search_path(model, inputs.layout, placed))
    for name, path in inputs.assets:
        entries.append(Entry(f"{ASSETS}/{name}", Part.ASSETS, "travels with the models", Copy(path)))
    entries += inputs.interpreter
    entries += inputs.files
    host = {need.soname for need in (*inputs.libraries.host, *inputs.interpreter_closure.host)}
    named = (model.renaming.library_of(soname) for model in inputs.models for soname in model.needed)
    host |= {soname for soname in named if matches_any(soname, inputs.recipe.host_libraries)}
    if inputs.libc == "host" or not inputs.portable:
        libraries = (*inputs.libraries.libraries, *inputs.interpreter_closure.libraries)
        host |= {library.name for library in libraries if library.origin is Origin.GLIBC}
    warnings = tuple(
        f"{library.name}: {library.reason}, but recipes/{inputs.recipe.backend}.toml does not know it; it is included"
        for library in inputs.libraries.unknown
    )
    warnings += tuple(_without_code(inputs))
    return BundlePlan(tuple(_unique(entries)), warnings, tuple(sorted(host)))


def _without_code(inputs: BuildInputs) -> Iterator[str]:
    """Sentences about GPUs of `--arch` that a model has no code for."""
    codes: dict[str, list[str]] = {}
    for model in inputs.models:
        codes.setdefault(model.name.partition("/")[0], []).extend(model.metadata.gpu_archs)
    for name, compiled in codes.items():
        lacking = unserved(compiled, inputs.archs) if compiled else ()
        if lacking:
            yield (
                f"model {name} has code for {', '.join(compiled)}, and none for {', '.join(lacking)} of --arch, "
                "so that it does not run there on the GPU"
            )


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
    for library in inputs.libraries.libraries:
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
            yield flat_entry(library, inputs, PYTHON_LIB, Part.PYTHON)
        else:
            yield from _system(library, inputs)


def _system(library: Library, inputs: BuildInputs) -> Iterator[Entry]:
    """A library of glibc's or GCC's, where it does not stay on the target."""
    if library.origin is Origin.GLIBC and inputs.portable and inputs.libc == "bundled":
        yield Entry(f"{LIBC}/{library.name}", Part.LIBC, library.reason, Copy(library.path))
    elif library.origin is Origin.GCC and inputs.portable:
        yield Entry(f"{GCC}/{library.name}", Part.RUNTIME, library.reason, Copy(library.path))


def _search_path(model: PlannedModel, layout: Layout, placed: Sequence[Entry]) -> str:
    """Where model.so looks: for the runtime, and for what else it needs of its own, such as a HIP runtime."""
    places = (PurePosixPath(entry.destination) for entry in placed)
    # Not libc, which is on no library's path: the launcher alone names it.
    needed = [str(place.parent) for place in places if place.name in model.needed and place.parts[0] == LIB]
    folders = dict.fromkeys((*layout.runtime_folders, *needed, GCC))
    return ":".join(name if name.startswith("/") else f"$ORIGIN/{_up_from(model)}{name}" for name in folders)


def _up_from(model: PlannedModel) -> str:
    """From a model's folder to the bundle's."""
    return "../" * len(PurePosixPath(MODELS, model.name).parts)


def _model(model: PlannedModel, search_path: str) -> Iterator[Entry]:
    import msgspec

    folder = f"{MODELS}/{model.name}"
    libraries = {LIBRARY, *(variant.library for variant in model.metadata.variants if not variant.folder)}
    document = msgspec.json.format(msgspec.json.encode(model.metadata), indent=1) + b"\n"
    yield Entry(f"{folder}/model.json", Part.MODEL, "what the model is", Text(document))
    for member, name in model.members:
        edit = ElfEdit()
        if name in libraries:
            # Plain PyTorch links to libtorch_cpu.so, or to nothing: name the runtime that is in this bundle.
            torch_libraries = tuple(
                soname for soname in model.needed if matches_any(soname, ("libtorch*.so", "libc10*.so"))
            )
            renamed = {model.renaming.library_of(name) for name in model.needed}
            edit = ElfEdit(
                search_path=search_path,
                remove_needed=tuple(name for name in torch_libraries if name not in model.runtime),
                add_needed=tuple(name for name in model.runtime if name not in renamed),
                renaming=model.renaming,
                clear_executable_stack=True,
            )
        content = Member(model.archive, member, edit)
        if name == WEIGHTS:
            if model.ranges == ():
                continue  # other models of the bundle have them all
            content = replace(content, ranges=model.ranges, packings=model.packings)
        yield Entry(f"{folder}/{name}", Part.MODEL, f"model {model.name}", content)
        if name == EXTERN_KERNELS:
            # libtorch's proxy executor wants a library beside the description of the ops; without the link, the bridge
            # would have to make one in a temporary folder.
            link = Link(f"{_up_from(model)}{PROXY}")
            yield Entry(f"{folder}/{Path(name).stem}.so", Part.MODEL, f"runs the ops of {name}", link)


def _unique(entries: Iterable[Entry]) -> Iterator[Entry]:
    """Each destination once; the first reason stands."""
    seen: set[str] = set()
    for entry in entries:
        if entry.destination not in seen:
            seen.add(entry.destination)
            yield entry
