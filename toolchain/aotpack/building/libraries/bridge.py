"""The bridge, compiled for how the bundle's folders lie."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from aotpack.building.request import BuildOrder
from aotpack.bundle.flat_layout import FlatLayout
from aotpack.bundle.inputs import Layout
from aotpack.bundle.tree_layout import TreeLayout
from aotpack.environment.torch import TorchInfo
from aotpack.libraries.recipe import Recipe
from aotpack.native.bridge import build_bridge
from aotpack.package.model import ModelInfo
from aotpack_doctor.base.places import GCC, LIB


def layout_of(order: BuildOrder, recipe: Recipe, torch: TorchInfo) -> Layout:
    """The strategy that the recipe names."""
    if recipe.layout == "tree":
        return TreeLayout(torch.root, torch.site_packages, order.portable)
    return FlatLayout()


def bridge_files(
    order: BuildOrder, models: Sequence[tuple[str, ModelInfo]], layout: Layout, torch: TorchInfo
) -> tuple[Path, ...]:
    """The libraries of the bridge that these models take."""
    proxy = any(model.needs_proxy for _, model in models)
    return build_bridge(torch, order.backend, debug=order.debug, proxy=proxy, runpath=_runpath_of(layout))


def _runpath_of(layout: Layout) -> tuple[str, ...]:
    """Where the bridge, which lies in `lib/`, looks for libtorch and for libstdc++."""
    folders = ["$ORIGIN"]
    for folder in layout.runtime_folders:
        folders.append(folder if folder.startswith("/") else folder.replace(LIB, "$ORIGIN", 1))
    return (*dict.fromkeys(folders), GCC.replace(LIB, "$ORIGIN", 1))
