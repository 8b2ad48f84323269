"""A module as it is exported: on its device, in inference mode, with inputs that can be carried."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import torch

from .. import naming
from ..carriable import check_inputs
from ..eager import modules, nesting
from ..failure import WorkerError
from ..graph import declared
from ..subject import Subject


def refuse_absent(device: str) -> None:
    """Raise WorkerError for a GPU that this torch does not see."""
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise WorkerError(
            f"--device {device}: torch {torch.__version__} sees no GPU",
            meaning="code for a GPU is compiled and tuned on one",
            fix="run on a machine with the GPU and its driver, or use --device cpu",
            kind="torch",
        )


def subject_of(
    path: Path, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any], dynamic_shapes: Any, device: str
) -> Subject:
    """A module with its inputs, moved to `device` and put into inference mode. Raises WorkerError."""
    notes: list[str] = []
    module = modules.itself(module)
    modules.check(module)
    module = modules.out_of_inference_mode(module)
    _evaluate(module, notes)
    kwargs = _in_signature_order(module, kwargs)
    flat = nesting.leaves((args, kwargs))
    names = naming.input_names(module.forward, [path for path, _ in flat])
    check_inputs(names, [leaf for _, leaf in flat], nesting.unwritable((args, kwargs)))
    dynamic_shapes = declared.spelled_out(dynamic_shapes, module, args, kwargs)
    target = torch.device(device)
    module = module.to(target)

    def move(leaf: Any) -> Any:
        if not isinstance(leaf, torch.Tensor):
            return leaf
        # Compiled code relies on the strides of its examples, and the bridge hands every input over in C order.
        leaf = leaf.detach().as_subclass(torch.Tensor)
        return leaf.resolve_conj().resolve_neg().to(target).contiguous()

    args, kwargs = torch.utils._pytree.tree_map(move, (args, kwargs))
    return Subject(path, module, args, kwargs, dynamic_shapes, target, notes)


def _evaluate(module: Any, notes: list[str]) -> None:
    """Let the module do what it does in use, not in training."""
    if not module.training:
        notes += modules.left_in_training(module)
        return
    try:
        module.eval()
    except NotImplementedError:
        return  # a graph of torch.export, which stays in the mode that it was traced in
    notes.append("the module was in training mode: exported after module.eval()")


def _in_signature_order(module: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
    order = list(inspect.signature(module.forward).parameters)
    return dict(sorted(kwargs.items(), key=lambda item: order.index(item[0]) if item[0] in order else len(order)))
