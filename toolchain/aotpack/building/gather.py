"""The facts that a bundle follows from: reads this machine, compiles what is ours, and follows what it all needs."""

from __future__ import annotations

from aotpack.building.libraries.gathering import gather_libraries, hashes_of_wheels
from aotpack.building.models import planned, read_models
from aotpack.building.own_files import license_texts, own_files
from aotpack.building.python import python_files
from aotpack.building.request import BuildOrder
from aotpack.building.weights import share
from aotpack.bundle.inputs import BuildInputs
from aotpack.bundle.tree_layout import find_data
from aotpack.environment.torch import TorchInfo
from aotpack.libraries.features import choose as choose_features
from aotpack.libraries.recipe import load_recipe
from aotpack.native.launcher import build_launcher
from aotpack.progress.reporter import Reporter
from aotpack.tools.compilers import find_compiler


def gather(order: BuildOrder, torch: TorchInfo, reporter: Reporter) -> BuildInputs:
    """Models, runtime, interpreter, own files: all that a plan and a description follow from."""
    recipe = load_recipe(order.backend)
    models = read_models(order.models, order.backend, order.archs)
    features = choose_features(recipe, [(*m.imports, *m.extern_ops) for _, m in models], order.features)
    # A development bundle links to the venv: there is nothing to leave out.
    libraries = gather_libraries(order, recipe, models, features.names if order.portable else None, torch, reporter)
    with reporter.step("choosing the interpreter's files"):
        python = python_files(order, torch, libraries.finder)
    texts = license_texts(torch, recipe, libraries.choice.runtime, libraries.closure, python.closure)
    return BuildInputs(
        torch=torch,
        recipe=recipe,
        compiler=find_compiler("c++").identity,
        portable=order.portable,
        libc=order.libc,
        runtime=libraries.choice.runtime,
        runtime_reason=libraries.choice.reason,
        features=tuple(sorted(features.on)) if order.portable else (),
        libraries=libraries.closure,
        own_libraries=libraries.own,
        launcher=build_launcher(),
        layout=libraries.layout,
        archs=order.archs,
        stubs=libraries.stubs,
        data=find_data(libraries.closure.libraries, recipe) if order.portable else (),
        wheel_hashes=hashes_of_wheels(torch, libraries.closure),
        models=share(planned(models, libraries.choice, dict(order.metadata))),
        assets=order.assets,
        interpreter=python.entries,
        interpreter_closure=python.closure,
        python_version=python.version,
        files=(*own_files(), *texts),
    )
