"""Which modules can be exported, and which stand for another."""

from __future__ import annotations

import copy
import inspect
from typing import Any

import torch
from torch.nn.parameter import is_lazy

from .. import naming
from ..failure import WorkerError

#: Of torch: a module that calls another one, and the attribute that holds that.
_WRAPPERS = {"OptimizedModule": "_orig_mod", "DataParallel": "module", "DistributedDataParallel": "module"}

#: Of torch.ao.nn.quantized: what models of floats hold where they are written to be quantised, as torchvision's are.
_OF_FLOATS = ("FloatFunctional", "FXFloatFunctional")


def itself(module: Any) -> Any:
    """The module that does the work: without torch.compile and what spreads batches over devices."""
    while type(module).__module__.startswith("torch.") and type(module).__name__ in _WRAPPERS:
        module = getattr(module, _WRAPPERS[type(module).__name__])
    return module


def _is_traced(module: Any, name: str) -> bool:
    """Whether a part was made by torch.jit.trace, or lies in one that was: torch.export traces it once more."""
    places = [name.rsplit(".", cut)[0] for cut in range(name.count(".") + 1)]
    return any(isinstance(module.get_submodule(place), torch.jit.TopLevelTracedModule) for place in places)


def out_of_inference_mode(module: Any) -> Any:
    """The module, or a copy of one that was made in torch.inference_mode(): nothing can be traced or changed in it."""
    tensors = (*module.parameters(), *module.buffers())
    return copy.deepcopy(module) if any(tensor.is_inference() for tensor in tensors) else module


def check(module: Any) -> None:
    """Raise WorkerError for a module that cannot be exported, whatever it computes."""
    if isinstance(module, torch.jit.ScriptModule):
        raise WorkerError(
            "the module is a TorchScript module, which torch.export cannot trace",
            meaning="TorchScript is deprecated since torch 2.11; its successor, torch.export, takes the module itself",
            fix="return the torch.nn.Module that torch.jit.trace or torch.jit.script was given",
            kind="usage",
        )
    for name, each in module.named_modules():
        if isinstance(each, torch.jit.ScriptModule) and not _is_traced(module, name):
            raise WorkerError(
                f"the module's part {name} is a TorchScript module, which torch.export cannot trace",
                meaning="TorchScript is deprecated since torch 2.11; its successor, torch.export, takes modules alone",
                fix=f"put the torch.nn.Module there that torch.jit.trace or torch.jit.script was given as {name}",
                kind="usage",
            )
    try:
        inspect.signature(module.forward)
    except (TypeError, ValueError) as error:
        raise WorkerError(
            f"the module's forward is {naming.a(module.forward)}, and Python cannot tell its parameters",
            meaning="inputs are called after the parameters of forward()",
            fix="write it as a method: def forward(self, x): return ...",
            kind="usage",
        ) from error
    tensors = dict([*module.named_parameters(), *module.named_buffers()])
    lazy = [name for name, tensor in tensors.items() if is_lazy(tensor)]
    if lazy:
        raise WorkerError(
            f"the module's {_first(lazy)} no size yet",
            meaning="lazy modules make their weights in the first call, so they would be random numbers here",
            fix="call the module once and load its weights, before it is returned",
            kind="usage",
        )
    quantised = [name for name, tensor in tensors.items() if tensor.is_quantized]
    quantised += [
        name
        for name, each in module.named_modules()
        if type(each).__module__.startswith(("torch.ao.nn.quantized", "torch.ao.nn.intrinsic.quantized"))
        and type(each).__name__ not in _OF_FLOATS
    ]
    if quantised:
        raise WorkerError(
            f"the module's {quantised[0]} is quantised in the way of before torch.export, which cannot trace it",
            meaning="its weights are packed objects of torch.ao.quantization; their successors are torchao and PT2E",
            fix="quantise the float module with torchao (docs/precision.md)",
            kind="usage",
        )
    sparse = [name for name, tensor in tensors.items() if tensor.layout != torch.strided]
    if sparse:
        layout = str(tensors[sparse[0]].layout).removeprefix("torch.")
        raise WorkerError(
            f"the module's {sparse[0]} is a {layout} tensor",
            meaning="a package carries dense weights",
            fix="make it dense (.to_dense()), or keep its parts and make it in forward()",
            kind="usage",
        )
    empty = [name for name, tensor in tensors.items() if tensor.device.type == "meta"]
    if empty:
        raise WorkerError(
            f"the module's {_first(empty)} no values, on the meta device",
            meaning="a package carries the weights, and there are none",
            fix="load them, for example module.load_state_dict(weights, assign=True), before the module is returned",
            kind="usage",
        )


def left_in_training(module: Any) -> list[str]:
    """A sentence about parts that do something else in training, and are in that mode while the module is not."""
    kinds = (torch.nn.modules.dropout._DropoutNd, torch.nn.modules.batchnorm._NormBase)
    names = [name for name, each in module.named_modules() if each.training and isinstance(each, kinds)]
    if not names:
        return []
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return [f"the module's part {names[0]}{more} stays in training mode, for the module itself is in inference mode"]


def _first(names: list[str]) -> str:
    return f"{names[0]} has" if len(names) == 1 else f"{names[0]} and {len(names) - 1} more have"
