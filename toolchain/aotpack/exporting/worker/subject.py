"""What is exported: a module with example inputs."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import naming
from .failure import WorkerError


@dataclass
class Subject:
    """A module with example inputs, on the device it is exported for, in inference mode."""

    #: The user's file.
    path: Path
    module: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    dynamic_shapes: Any
    device: Any
    notes: list[str] = field(default_factory=list)


def refuse_absent(device: str) -> None:
    """Raise WorkerError for a GPU that this torch does not see."""
    import torch

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
    import torch

    from .carriable import check_inputs

    notes: list[str] = []
    _evaluate(module, notes)
    kwargs = _in_signature_order(module, kwargs)
    flat = torch.utils._pytree.tree_flatten_with_path((args, kwargs))[0]
    names = naming.input_names(module.forward, [naming.keys(path) for path, _ in flat])
    check_inputs(names, [leaf for _, leaf in flat])
    dynamic_shapes = _spelled_out(dynamic_shapes, module, args, kwargs)
    target = torch.device(device)
    module = module.to(target)

    def move(leaf: Any) -> Any:
        # Compiled code relies on the strides of its examples, and the bridge hands every input over in C order.
        return leaf.detach().to(target).contiguous() if isinstance(leaf, torch.Tensor) else leaf

    args, kwargs = torch.utils._pytree.tree_map(move, (args, kwargs))
    return Subject(path, module, args, kwargs, dynamic_shapes, target, notes)


def _spelled_out(dynamic_shapes: Any, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Sizes as nested dicts, where they hang on the input tensors themselves, or on others like them.

    Raises WorkerError for such that are not these.
    """
    import torch

    if not isinstance(dynamic_shapes, (torch.export.ShapesCollection, torch.export.AdditionalInputs)):
        return dynamic_shapes
    try:
        return dict(dynamic_shapes.dynamic_shapes(module, args, kwargs))
    except (ValueError, TypeError) as error:
        raise WorkerError(
            f"dynamic_shapes does not fit the inputs: {naming.first_line(error)}",
            meaning=f"a {type(dynamic_shapes).__name__} says of the very tensors that are the inputs what may vary",
            fix="return the same tensors as inputs, or write dynamic_shapes as a dict of parameters",
            kind="usage",
        ) from error


def _evaluate(module: Any, notes: list[str]) -> None:
    """Let the module do what it does in use, not in training."""
    if not module.training:
        return
    try:
        module.eval()
    except NotImplementedError:
        return  # a graph of torch.export, which stays in the mode that it was traced in
    notes.append("the module was in training mode: exported after module.eval()")


def _in_signature_order(module: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
    order = list(inspect.signature(module.forward).parameters)
    return dict(sorted(kwargs.items(), key=lambda item: order.index(item[0]) if item[0] in order else len(order)))
