"""The facts that a bundle follows from: reads this machine, compiles what is ours, and follows what it all needs."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from aotpack import resources
from aotpack.backend import Backend
from aotpack.build.archs import check_model_archs
from aotpack.build.request import BuildRequest, Reporter
from aotpack.bundle import licenses
from aotpack.bundle.entries import GCC, LIB, Copy, Entry, Link, Part
from aotpack.bundle.flat_layout import FlatLayout
from aotpack.bundle.inputs import BuildFacts, BuildInputs, Layout, PlannedModel, Stub
from aotpack.bundle.tree_layout import TreeLayout, find_data
from aotpack.environment.torch import TorchInfo
from aotpack.environment.wheel_records import wheel_hashes
from aotpack.errors import ModelMismatchError, TorchMismatchError
from aotpack.interpreter.selection import plan_interpreter
from aotpack.libraries.closure import Closure, Root, walk
from aotpack.libraries.features import choose as choose_features
from aotpack.libraries.finder import DiskFinder
from aotpack.libraries.recipe import Recipe, load_recipe
from aotpack.native.bridge import build_bridge
from aotpack.native.launcher import HASHES, build_hashes, build_launcher
from aotpack.native.slim import build_slim
from aotpack.native.stubs import build_stub, plan_stubs
from aotpack.package.model import WEIGHTS, ModelInfo, read_model
from aotpack.runtime import slim_weights
from aotpack.runtime.choice import Runtime, choose_runtime
from aotpack.runtime.slim_table import table_for
from aotpack.runtime.slim_weights import Packing
from aotpack.tools.compilers import find_compiler


@dataclass(frozen=True)
class Gathered:
    """All facts that a plan and a description follow from."""

    inputs: BuildInputs
    facts: BuildFacts
    #: Why this runtime, in a phrase.
    runtime_reason: str


def gather(request: BuildRequest, torch: TorchInfo, reporter: Reporter) -> Gathered:
    """Read this machine, compile what is ours, and follow what it all needs."""
    recipe = load_recipe(request.backend)
    models = _read_models(request)
    features = choose_features(recipe, [(*m.imports, *m.extern_ops) for _, m in models], request.features)
    layout = _layout(request, recipe, torch)
    finder = finder_of(torch)
    with reporter.step("compiling the bridge"):
        bridge = build_bridge(
            torch,
            request.backend,
            debug=request.debug,
            proxy=any(m.needs_proxy for _, m in models),
            runpath=runpath_of(layout),
        )
        launcher = build_launcher()
    choice = choose_runtime(request.runtime, recipe, models, platform.machine(), table_for(torch))
    own = list(bridge)
    if choice.runtime == "slim":
        with reporter.step("compiling the slim runtime (takes a while the first time)"):
            slim = build_slim(torch, choice.parts)
        own += slim.libraries
        finder = replace(finder, folders=(*finder.folders, *slim.folders))
        roots = []
    else:
        roots = [Root(name, _torch_library(name, torch), f"recipes/{recipe.backend}.toml") for name in recipe.roots]
    roots = [Root(path.name, path, "the C API") for path in own] + roots
    roots += _model_roots(models, finder)
    # A development bundle links to the venv: there is nothing to leave out.
    closure = walk(roots, finder, recipe, features=features.names if request.portable else None)
    with reporter.step("compiling stubs") if closure.left_out else nullcontext():
        stubs = tuple(_stubs(closure))
    with reporter.step("choosing the interpreter's files"):
        interpreter, python_closure, python_version = _interpreter(request, torch, finder)
    inputs = BuildInputs(
        recipe=recipe,
        portable=request.portable,
        libc=request.libc,
        runtime=closure,
        own_libraries=frozenset(path.name for path in own),
        launcher=launcher,
        layout=layout,
        archs=request.archs,
        stubs=stubs,
        data=find_data(closure.libraries, recipe) if request.portable else (),
        wheel_hashes=_wheel_hashes(torch, closure),
        models=tuple(_planned(name, model, choice.runtime, choice.sonames[name]) for name, model in models),
        interpreter=interpreter,
        interpreter_closure=python_closure,
        files=(
            *_own_files(),
            *_licenses(torch, recipe, choice.runtime, closure, python_closure),
        ),
    )
    facts = BuildFacts(
        torch=torch,
        runtime=choice.runtime,
        compiler=find_compiler("c++").identity,
        python_version=python_version,
        features=tuple(sorted(features.on)) if request.portable else (),
    )
    return Gathered(inputs, facts, choice.reason)


def _planned(name: str, model: ModelInfo, runtime: Runtime, sonames: tuple[str, ...]) -> PlannedModel:
    packings: tuple[Packing, ...] = ()
    metadata = model.metadata
    if runtime == "slim" and any(place == WEIGHTS for _, place in model.members):
        metadata, packings = slim_weights.for_slim(metadata)
    return PlannedModel(name, metadata, model.archive, model.members, model.needed, sonames, packings)


def finder_of(torch: TorchInfo) -> DiskFinder:
    """Looks for libraries where torch has its own."""
    return DiskFinder(folders=torch.lib_dirs, machine=platform.machine())


def _layout(request: BuildRequest, recipe: Recipe, torch: TorchInfo) -> Layout:
    """The strategy that the recipe names."""
    if recipe.layout == "tree":
        return TreeLayout(torch.root, torch.site_packages, request.portable)
    return FlatLayout()


def runpath_of(layout: Layout) -> tuple[str, ...]:
    """Where the bridge, which lies in `lib/`, looks for libtorch and for libstdc++."""
    folders = ["$ORIGIN"]
    for folder in layout.runtime_folders:
        folders.append(folder if folder.startswith("/") else folder.replace(LIB, "$ORIGIN", 1))
    return (*dict.fromkeys(folders), GCC.replace(LIB, "$ORIGIN", 1))


def _stubs(closure: Closure) -> Iterator[Stub]:
    """Compile a stub for every library that is left out."""
    left_out = {library.name: (library.group, library.path) for library in closure.left_out}
    planned = plan_stubs(left_out, [library.path for library in closure.libraries]) if left_out else ()
    for library, stub in zip(closure.left_out, planned, strict=True):
        yield Stub(library, build_stub(stub, find_compiler("c")))


def _wheel_hashes(torch: TorchInfo, closure: Closure) -> Mapping[Path, str]:
    if torch.site_packages is None:
        return {}
    return wheel_hashes(torch.site_packages, (library.path for library in closure.libraries))


def _read_models(request: BuildRequest) -> list[tuple[str, ModelInfo]]:
    """The packages by name. Refuses models for another backend."""
    models: list[tuple[str, ModelInfo]] = []
    for given, path in request.models:
        name = given or path.stem
        model = read_model(path, name)
        _check_model(path, model, request.backend)
        check_model_archs(name, model.metadata, request.archs)
        models.append((name, model))
    return models


def _check_model(path: Path, model: ModelInfo, backend: Backend) -> None:
    metadata = model.metadata
    if metadata.device not in ("cpu", backend.value):
        raise ModelMismatchError(
            f"{path}: compiled for {metadata.device}, the bundle is for {backend}",
            meaning=f"a {backend} bundle has no runtime for this model's code",
            fix=f"aotpack build --backend {metadata.device} ..., or export the model again with --device cpu",
        )
    if metadata.machine != platform.machine():
        raise ModelMismatchError(
            f"{path}: compiled for {metadata.machine}, this machine is {platform.machine()}",
            meaning="a bundle is built on the architecture that it runs on",
            fix=f"export the model again here, or build on a {metadata.machine} machine",
        )


def _model_roots(models: Sequence[tuple[str, ModelInfo]], finder: DiskFinder) -> Iterator[Root]:
    """What model.so needs beside its runtime, such as libgomp."""
    for name, model in models:
        for soname in model.needed:
            found = None if soname.startswith(("libtorch", "libc10")) else finder.find(soname, None)
            if found:
                yield Root(soname, found, f"needed by model {name}")


def _torch_library(name: str, torch: TorchInfo) -> Path:
    for folder in torch.lib_dirs:
        if (folder / name).is_file():
            return folder / name
    raise TorchMismatchError(
        f"{name}: not in {torch.lib_dirs[0]}",
        meaning=f"the torch {torch.version} found through {torch.source} is incomplete",
        fix="reinstall it: pip install --force-reinstall torch, or make a new venv with aotpack init",
    )


def _interpreter(
    request: BuildRequest, torch: TorchInfo, finder: DiskFinder
) -> tuple[tuple[Entry, ...], Closure, str | None]:
    """The interpreter's files, what its extension modules need, and its version."""
    if request.python == "host":
        return (), Closure(()), None
    python = torch.python or Path(sys.executable)
    if not request.portable:
        link = Entry("python/bin/python3", Part.PYTHON, "starts the runner", Link(str(python)))
        return (link,), Closure(()), torch.python_version
    plan = plan_interpreter(python)
    closure = walk(plan.roots, finder)
    own = {root.name for root in plan.roots}  # they are entries of the plan already
    needs = replace(closure, libraries=tuple(library for library in closure.libraries if library.name not in own))
    entries = plan.entries if request.libc == "host" else plan.packed_for(closure).entries
    return entries, needs, plan.version


def _own_files() -> Iterator[Entry]:
    """The runner, the doctor, and what embedding programs use."""
    for source, folder, part, reason in (
        (resources.TEMPLATES / "runner", "runner", Part.RUNNER, "the Python runner"),
        (resources.DOCTOR, "runner/aotpack_doctor", Part.RUNNER, "aotrun doctor"),
        (resources.BRIDGE / "include", "include", Part.HEADERS, "for programs that embed the bundle"),
        (resources.TEMPLATES / "share", "share", Part.HEADERS, "for programs that embed the bundle"),
    ):
        for path in resources.files_below(source):
            yield Entry(f"{folder}/{path.relative_to(source).as_posix()}", part, reason, Copy(path))
    yield Entry(f"runner/{HASHES}", Part.RUNNER, "aotrun doctor hashes with it", Copy(build_hashes()))


def _licenses(torch: TorchInfo, recipe: Recipe, runtime: Runtime, *closures: Closure) -> Iterator[Entry]:
    """The texts that the bundle's content asks for; the slim runtime carries nothing of torch."""
    yield licenses.of_aotpack()
    if runtime == "full" and torch.site_packages is not None:
        yield from licenses.of_wheels(torch.site_packages, recipe)
    libraries = [library.path for closure in closures for library in closure.libraries]
    yield from licenses.of_onednn(libraries)
    yield from licenses.of_system(libraries)
