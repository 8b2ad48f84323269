"""The libraries of a bundle: ours, compiled, the runtime's, and what they all need."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from aotpack.building.models import roots_of_models
from aotpack.building.request import BuildOrder
from aotpack.bundle.flat_layout import FlatLayout
from aotpack.bundle.inputs import Layout, Stub
from aotpack.bundle.tree_layout import TreeLayout
from aotpack.environment.torch import TorchInfo
from aotpack.environment.wheel_records import wheel_hashes
from aotpack.errors import TorchMismatchError
from aotpack.libraries.closure import Closure, Root, walk
from aotpack.libraries.finder import DiskFinder
from aotpack.libraries.recipe import Recipe
from aotpack.native.bridge import build_bridge
from aotpack.native.slim import build_slim
from aotpack.native.stubs import build_stub, plan_stubs
from aotpack.package.model import ModelInfo
from aotpack.progress.reporter import Reporter
from aotpack.runtime.choice import RuntimeChoice, choose_runtime
from aotpack.runtime.slim_table import table_for
from aotpack.tools.compilers import find_compiler
from aotpack_doctor.base.places import GCC, LIB


@dataclass(frozen=True)
class RuntimeFiles:
    """The runtime that was chosen and all libraries that it takes."""

    choice: RuntimeChoice
    layout: Layout
    closure: Closure
    #: Names of those that are aotpack's own.
    own: frozenset[str]
    stubs: tuple[Stub, ...]
    #: Looks where all of them were found.
    finder: DiskFinder


def runtime_files(
    order: BuildOrder,
    recipe: Recipe,
    models: Sequence[tuple[str, ModelInfo]],
    features: frozenset[str] | None,
    torch: TorchInfo,
    reporter: Reporter,
) -> RuntimeFiles:
    """Choose the runtime, compile what is ours of it, and follow what it needs.

    Args:
        features: the groups of the recipe that are kept; None keeps all.
    """
    layout = layout_of(order, recipe, torch)
    with reporter.step("compiling the bridge"):
        own = list(_bridge(order, models, layout, torch))
    finder = finder_of(torch)
    choice = choose_runtime(order.runtime, recipe, models, platform.machine(), table_for(torch))
    roots = []
    if choice.runtime == "slim":
        with reporter.files("compiling the slim runtime (takes a while the first time)") as progress:
            slim = build_slim(torch, choice.parts, progress=progress)
        own += slim.libraries
        finder = replace(finder, folders=(*finder.folders, *slim.folders))
    else:
        roots = [Root(name, _torch_library(name, torch), f"recipes/{recipe.backend}.toml") for name in recipe.roots]
    roots = [Root(path.name, path, "the C API") for path in own] + roots
    roots += roots_of_models(models, finder, choice.renaming)
    closure = walk(roots, finder, recipe, features=features)
    with reporter.step("compiling stubs") if closure.left_out else nullcontext():
        stubs = tuple(_stubs(closure))
    return RuntimeFiles(choice, layout, closure, frozenset(path.name for path in own), stubs, finder)


def _bridge(
    order: BuildOrder, models: Sequence[tuple[str, ModelInfo]], layout: Layout, torch: TorchInfo
) -> tuple[Path, ...]:
    proxy = any(model.needs_proxy for _, model in models)
    return build_bridge(torch, order.backend, debug=order.debug, proxy=proxy, runpath=runpath_of(layout))


def finder_of(torch: TorchInfo) -> DiskFinder:
    """Looks for libraries where torch has its own."""
    return DiskFinder(folders=torch.lib_dirs, machine=platform.machine())


def layout_of(order: BuildOrder, recipe: Recipe, torch: TorchInfo) -> Layout:
    """The strategy that the recipe names."""
    if recipe.layout == "tree":
        return TreeLayout(torch.root, torch.site_packages, order.portable)
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


def hashes_of_wheels(torch: TorchInfo, closure: Closure) -> Mapping[Path, str]:
    """SHA-256 that the environment's wheels recorded of the libraries."""
    if torch.site_packages is None:
        return {}
    return wheel_hashes(torch.site_packages, (library.path for library in closure.libraries))


def _torch_library(name: str, torch: TorchInfo) -> Path:
    for folder in torch.lib_dirs:
        if (folder / name).is_file():
            return folder / name
    raise TorchMismatchError(
        f"{name}: not in {torch.lib_dirs[0]}",
        meaning=f"the torch {torch.version} found through {torch.source} is incomplete",
        fix="reinstall it: pip install --force-reinstall torch, or make a new venv with aotpack init",
    )
