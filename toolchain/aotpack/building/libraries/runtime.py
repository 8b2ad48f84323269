"""The runtime of a bundle: which one, and where its libraries are."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from aotpack.building.request import BuildOrder
from aotpack.environment.torch import TorchInfo
from aotpack.errors import TorchMismatchError
from aotpack.libraries.closure import Root
from aotpack.libraries.recipe import Recipe
from aotpack.native.slim import build_slim
from aotpack.package.model import ModelInfo
from aotpack.progress.reporter import Reporter
from aotpack.runtime.choice import RuntimeChoice, choose_runtime
from aotpack.runtime.slim_table import table_for


@dataclass(frozen=True)
class RuntimeFiles:
    """The runtime that was chosen."""

    choice: RuntimeChoice
    #: aotpack's own, compiled: the slim runtime.
    own: tuple[Path, ...] = ()
    #: torch's.
    roots: tuple[Root, ...] = ()
    #: Where else to look for what they need.
    folders: tuple[Path, ...] = ()


def runtime_files(
    order: BuildOrder,
    recipe: Recipe,
    models: Sequence[tuple[str, ModelInfo]],
    torch: TorchInfo,
    reporter: Reporter,
) -> RuntimeFiles:
    """Choose the runtime, and compile it if it is the slim one."""
    choice = choose_runtime(order.runtime, recipe, models, platform.machine(), table_for(torch))
    if choice.runtime == "slim":
        with reporter.files("compiling the slim runtime (takes a while the first time)") as progress:
            slim = build_slim(torch, choice.parts, progress=progress)
        return RuntimeFiles(choice, own=slim.libraries, folders=slim.folders)
    reason = f"recipes/{recipe.backend}.toml"
    return RuntimeFiles(choice, roots=tuple(Root(name, _torch_library(name, torch), reason) for name in recipe.roots))


def _torch_library(name: str, torch: TorchInfo) -> Path:
    for folder in torch.lib_dirs:
        if (folder / name).is_file():
            return folder / name
    raise TorchMismatchError(
        f"{name}: not in {torch.lib_dirs[0]}",
        meaning=f"the torch {torch.version} found through {torch.source} is incomplete",
        fix="reinstall it: pip install --force-reinstall torch, or make a new venv with aotpack init",
    )
