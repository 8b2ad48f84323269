"""`aotpack build`: gather facts, plan, stage, seal. The one place that knows all the steps.

gather reads this machine and compiles what is ours; `plan_bundle` decides; `stage` writes; the manifest seals.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from aotpack import licenses, manifest, packed_weights, resources, stage, uptodate
from aotpack.backend import Backend
from aotpack.bridge import build_bridge
from aotpack.closure import Closure, DiskFinder, Root, walk
from aotpack.compilers import find_compiler
from aotpack.errors import ModelMismatchError, TorchMismatchError, UsageError
from aotpack.features import choose as choose_features
from aotpack.interpreter import plan_interpreter
from aotpack.launcher import HASHES, build_hashes, build_launcher
from aotpack.layout_tree import TreeLayout, find_data
from aotpack.manifest import Bundle
from aotpack.model import WEIGHTS, ModelInfo, read_model
from aotpack.packed_weights import Packing
from aotpack.plan import (
    GCC,
    LIB,
    BuildInputs,
    BundlePlan,
    Copy,
    Entry,
    FlatLayout,
    Layout,
    Link,
    Part,
    PlannedModel,
    Stub,
    plan_bundle,
)
from aotpack.recipe import Recipe, load_recipe
from aotpack.runtime import Runtime, choose_runtime
from aotpack.savings import savings
from aotpack.seal import BuildFacts, describe
from aotpack.slim import build_slim, table_for
from aotpack.stubs import build_stub, plan_stubs
from aotpack.targets import check_archs, check_model_archs
from aotpack.torch_env import TorchInfo, find_torch
from aotpack.wheel_records import wheel_hashes

_MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True, kw_only=True)
class BuildRequest:
    """What the user asked for."""

    backend: Backend
    output: Path
    #: (name or None for the file's own, path) in the order given.
    models: tuple[tuple[str | None, Path], ...] = ()
    portable: bool = False
    runtime: Literal["auto", "full", "slim"] = "auto"
    python: Literal["bundled", "host"] = "bundled"
    libc: Literal["bundled", "host"] = "bundled"
    #: GPUs that the bundle is to run on; empty for all that torch serves.
    archs: tuple[str, ...] = ()
    #: Feature groups beyond those that the models need.
    features: tuple[str, ...] = ()
    debug: bool = False
    force: bool = False
    venv: Path | None = None


@dataclass(frozen=True)
class Reporter:
    """How progress reaches a person; the command line passes the console's."""

    step: Callable[[str], AbstractContextManager[None]] = field(default=lambda _text: nullcontext())
    bytes: Callable[[str, int], AbstractContextManager[Callable[[int], None]]] = field(
        default=lambda _text, _total: nullcontext(lambda _done: None)
    )
    say: Callable[[str], None] = field(default=lambda _text: None)
    warn: Callable[[str], None] = field(default=lambda _text: None)


@dataclass(frozen=True)
class Gathered:
    """All facts that a plan and a description follow from."""

    inputs: BuildInputs
    facts: BuildFacts
    #: Why this runtime, in a phrase.
    runtime_reason: str


@dataclass(frozen=True)
class BuildResult:
    """A finished build."""

    bundle: Bundle
    #: Why this runtime, in a phrase.
    runtime_reason: str
    #: False when everything was up to date.
    changed: bool


def request_key(request: BuildRequest, torch: TorchInfo) -> str:
    """What a build depends on besides files: the options, the torch taken, the compiler chosen by environment."""
    options = replace(request, force=False)
    chosen = {name: os.environ.get(name, "") for name in ("CC", "CXX", "CUDA_HOME", "CUDA_PATH", "ROCM_PATH")}
    text = repr((options, torch.root, torch.version, sorted(chosen.items())))
    return hashlib.sha256(text.encode()).hexdigest()


def build(request: BuildRequest, reporter: Reporter) -> BuildResult:
    """Build a bundle, or find that it is up to date.

    Raises:
        AotpackError: as the exit codes say; the output folder is then as it was.
    """
    request = settled(request)
    stage.check_output(request.output, force=request.force)
    torch = find_torch(request.backend, venv=request.venv)
    key = request_key(request, torch)
    with stage.exclusive(
        request.output, waiting=lambda: reporter.say(f"waiting for another build of {request.output}")
    ):
        if not request.force and uptodate.is_current(request.output, key):
            content = (request.output / manifest.NAME).read_bytes()
            return BuildResult(manifest.decode(content, manifest.NAME), "as before", changed=False)
        stage.check_output(request.output, force=request.force)  # again, now that nobody else writes there
        gathered = gather(request, torch, reporter)
        plan = plan_bundle(gathered.inputs)
        for warning in plan.warnings:
            reporter.warn(warning)
        bundle = _write(request, gathered, plan, reporter)
        uptodate.remember(request.output, key, _sources(request, torch, plan))
    return BuildResult(bundle, gathered.runtime_reason, changed=True)


def settled(request: BuildRequest) -> BuildRequest:
    """The request as it means the same from every folder: real paths, and a name for each model.

    Raises:
        UsageError: names or options that cannot be.
    """
    check_archs(request.backend, request.archs)
    if not request.portable and "host" in (request.libc, request.python):
        raise UsageError(
            "--libc host and --python host need --portable",
            meaning="a development bundle uses this machine's own libc and the venv's Python anyway",
            fix="add --portable, or drop the option",
        )
    if not request.portable and (request.archs or request.features):
        raise UsageError(
            "--arch and --features need --portable",
            meaning="a development bundle links to the venv, so nothing is left out of it",
            fix="add --portable, or drop the option",
        )
    models: dict[str | None, Path] = {}
    for given, path in request.models:
        name = given or path.stem
        if not _MODEL_NAME.fullmatch(name):
            raise UsageError(
                f"--model {name}={path}: {name!r} cannot be a model's name",
                meaning="the name becomes a folder: letters, digits, '.', '_' and '-', not starting with a dot",
                fix=f"--model NAME={path}",
            )
        if name in models:
            raise UsageError(
                f"--model {path}: the name {name} is taken by another --model",
                meaning="each model of a bundle has its own name",
                fix=f"--model OTHER={path}",
            )
        models[name] = path.absolute()
    return replace(request, output=request.output.resolve(), models=tuple(models.items()))


def dry_run(request: BuildRequest, reporter: Reporter) -> BundlePlan:
    """What a build would do. Compiles what is ours into the cache, and writes no bundle."""
    request = settled(request)
    torch = find_torch(request.backend, venv=request.venv)
    gathered = gather(request, torch, reporter)
    spared = savings(gathered.inputs, frozenset(gathered.facts.features), _finder(torch))
    return replace(plan_bundle(gathered.inputs), savings=tuple(spared))


def gather(request: BuildRequest, torch: TorchInfo, reporter: Reporter) -> Gathered:
    """Read this machine, compile what is ours, and follow what it all needs."""
    recipe = load_recipe(request.backend)
    models = _read_models(request)
    features = choose_features(recipe, [(*m.imports, *m.extern_ops) for _, m in models], request.features)
    layout = _layout(request, recipe, torch)
    finder = _finder(torch)
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
        metadata, packings = packed_weights.for_slim(metadata)
    return PlannedModel(name, metadata, model.archive, model.members, model.needed, sonames, packings)


def _finder(torch: TorchInfo) -> DiskFinder:
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


def _write(request: BuildRequest, gathered: Gathered, plan: BundlePlan, reporter: Reporter) -> Bundle:
    """Stage, seal and put in place."""
    total = sum(_size(entry) for entry in plan.entries)
    with stage.staging(request.output) as folder:
        with reporter.bytes(f"writing {len(plan.entries)} files", total) as done:
            records = stage.write_entries(folder, plan.entries, done)
        bundle = describe(folder, records, gathered.inputs, plan, gathered.facts)
        (folder / manifest.NAME).write_bytes(manifest.encode(bundle))
    return manifest.decode((request.output / manifest.NAME).read_bytes(), manifest.NAME)


def _size(entry: Entry) -> int:
    return entry.content.source.stat().st_size if isinstance(entry.content, Copy) else 0


def _sources(request: BuildRequest, torch: TorchInfo, plan: BundlePlan) -> Iterator[Path]:
    """The files of this machine that the bundle came of."""
    yield torch.root / "version.py"
    for _, path in request.models:
        yield path.absolute()
    for entry in plan.entries:
        if isinstance(entry.content, Copy):
            yield entry.content.source
        elif isinstance(entry.content, Link) and entry.content.target.startswith("/"):
            yield Path(entry.content.target)
