"""All libraries of a bundle but the interpreter's: what is there to begin with, and what follows from that."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from aotpack.building.libraries.bridge import bridge_files, layout_of
from aotpack.building.libraries.runtime import runtime_files
from aotpack.building.libraries.stubs import stubs_of
from aotpack.building.request import BuildOrder
from aotpack.bundle.inputs import Layout, Stub
from aotpack.environment.torch import TorchInfo
from aotpack.environment.wheel_records import wheel_hashes
from aotpack.libraries.closure import Closure, Root, walk
from aotpack.libraries.finder import DiskFinder
from aotpack.libraries.recipe import Recipe
from aotpack.package.model import ModelInfo
from aotpack.progress.reporter import Reporter
from aotpack.runtime.choice import RuntimeChoice


@dataclass(frozen=True)
class Libraries:
    """The runtime that was chosen, and all libraries that it and the models take."""

    choice: RuntimeChoice
    layout: Layout
    closure: Closure
    #: Names of those that are aotpack's own.
    own: frozenset[str]
    stubs: tuple[Stub, ...]
    #: Looks where all of them were found.
    finder: DiskFinder


def gather_libraries(
    order: BuildOrder,
    recipe: Recipe,
    models: Sequence[tuple[str, ModelInfo]],
    features: frozenset[str] | None,
    torch: TorchInfo,
    reporter: Reporter,
) -> Libraries:
    """Choose the runtime, compile what is ours of it, and follow what it needs.

    Args:
        features: the groups of the recipe that are kept; None keeps all.
    """
    layout = layout_of(order, recipe, torch)
    with reporter.step("compiling the bridge"):
        bridge = bridge_files(order, models, layout, torch)
    runtime = runtime_files(order, recipe, models, torch, reporter)
    finder = finder_of(torch)
    finder = replace(finder, folders=(*finder.folders, *runtime.folders))
    own = (*bridge, *runtime.own)
    roots = [Root(path.name, path, "the C API") for path in own]
    roots += [*runtime.roots, *_roots_of(models, finder, runtime.choice)]
    closure = walk(roots, finder, recipe, features=features)
    with reporter.step("compiling stubs") if closure.left_out else nullcontext():
        stubs = tuple(stubs_of(closure))
    return Libraries(runtime.choice, layout, closure, frozenset(path.name for path in own), stubs, finder)


def finder_of(torch: TorchInfo) -> DiskFinder:
    """Looks for libraries where torch has its own."""
    return DiskFinder(folders=torch.lib_dirs, machine=platform.machine())


def hashes_of_wheels(torch: TorchInfo, closure: Closure) -> Mapping[Path, str]:
    """SHA-256 that the environment's wheels recorded of the libraries."""
    if torch.site_packages is None:
        return {}
    return wheel_hashes(torch.site_packages, (library.path for library in closure.libraries))


def _roots_of(models: Sequence[tuple[str, ModelInfo]], finder: DiskFinder, choice: RuntimeChoice) -> Iterator[Root]:
    """What model.so needs beside its runtime, such as libgomp where that is not the runtime's own by another name."""
    for name, model in models:
        for soname in model.needed:
            is_of_runtime = soname.startswith(("libtorch", "libc10")) or choice.renaming.library_of(soname) != soname
            found = None if is_of_runtime else finder.find(soname, None)
            if found:
                yield Root(soname, found, f"needed by model {name}")
