"""Which of the two runtimes a bundle gets. Pure: no disk.

full: libtorch travels along and every op is there. slim: aotpack's own implementation of AOTInductor's C shim, for
models all of whose imports it serves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from aotpack.backend import Backend
from aotpack.elf.renaming import Renaming
from aotpack.errors import ModelMismatchError
from aotpack.libraries.recipe import Recipe
from aotpack.package.model import ModelInfo
from aotpack.runtime.slim_table import MACHINES, OWN_NAMES, Function, Part, Verdict, judge

Runtime = Literal["full", "slim"]

#: The one order of weights of four bits that the slim runtime reads, on every CPU.
INT4_ORDER = "AVX512"


@dataclass(frozen=True)
class RuntimeChoice:
    """Which runtime a bundle gets."""

    runtime: Runtime
    #: In a phrase, for people.
    reason: str
    #: Model name -> sonames that its model.so must name.
    sonames: Mapping[str, tuple[str, ...]]
    #: Libraries of the slim runtime.
    parts: frozenset[Part] = frozenset()

    @property
    def renaming(self) -> Renaming:
        """What the functions of this runtime are called."""
        return OWN_NAMES if self.runtime == "slim" else Renaming()


def choose_runtime(
    asked: Literal["auto", "full", "slim"],
    recipe: Recipe,
    models: Sequence[tuple[str, ModelInfo]],
    machine: str,
    functions: Mapping[str, Function],
) -> RuntimeChoice:
    """Slim when it serves every import of every model, full otherwise.

    Args:
        asked: the user's `--runtime`.
        recipe: of the bundle's backend.
        models: by name.
        machine: uname machine of the bundle.
        functions: the slim runtime's table for the bundle's torch.

    Raises:
        ModelMismatchError: `--runtime slim` was asked for and does not serve a model.
    """
    # A model for the CPU needs the first of the roots alone, whatever else the bundle serves.
    sonames = {name: recipe.roots[:1] if m.metadata.device == "cpu" else recipe.roots for name, m in models}
    full = RuntimeChoice("full", "as asked", sonames)
    if asked == "full":
        return full
    verdicts = {name: judge(model.imports, functions) for name, model in models}
    obstacle = _obstacle_to_slim(recipe.backend, machine, models, verdicts)
    if obstacle is None:
        parts = frozenset(part for verdict in verdicts.values() for part in verdict.parts)
        of_slim = {name: verdict.sonames for name, verdict in verdicts.items()}
        return RuntimeChoice("slim", "it serves every function that the models import", of_slim, parts)
    if asked == "auto":
        return replace(full, reason=obstacle)
    raise ModelMismatchError(
        f"--runtime slim: {obstacle}",
        meaning="the slim runtime does not serve these models as they are",
        fix="build with --runtime full, or see docs/slim.md on how an op is added",
        detail="\n".join(
            f"{name}: {function.name} ({function.note})"
            for name, verdict in verdicts.items()
            for function in verdict.unserved
        ),
    )


def _obstacle_to_slim(
    backend: Backend, machine: str, models: Sequence[tuple[str, ModelInfo]], verdicts: Mapping[str, Verdict]
) -> str | None:
    if backend is not Backend.CPU:
        return f"the slim runtime is for the CPU, not for {backend}"
    if machine not in MACHINES:
        return f"the slim runtime is not for {machine}"
    if not models:
        return "without a model, what is needed is not known"
    for name, model in models:
        if model.needs_proxy:
            return f"model {name} calls {model.extern_ops[0]} through libtorch's proxy executor"
        if model.metadata.int4_order not in (None, INT4_ORDER):
            return f"model {name} has weights of four bits in torch's order for {model.metadata.int4_order}"
        if verdicts[name].unserved:
            first = verdicts[name].unserved[0]
            more = len(verdicts[name].unserved) - 1
            return f"model {name} imports {first.name}{f' and {more} more' if more else ''}"
    return None
