"""The module as eager PyTorch runs it: what the package must agree with."""

from __future__ import annotations

import copy
import functools
import traceback
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils import _pytree as pytree

from . import naming
from .failure import WorkerError
from .source import Subject, own_line


@dataclass
class Run:
    """Tensors of one call, flattened in the order of the signature."""

    #: As they were before the call.
    inputs: list[torch.Tensor]
    #: As the call left them: a module may write into its inputs.
    inputs_after: list[torch.Tensor]
    outputs: list[torch.Tensor]
    #: Where each output lies in what the module returned.
    output_paths: list[naming.Path]
    #: What it returned besides tensors: path and value.
    others: list[tuple[naming.Path, Any]]


def run_eager(subject: Subject, args: Any, kwargs: Any) -> Run:
    """Call the module as Python would, on copies of its inputs. Raises WorkerError when the module raises.

    A module that changes its own buffers gets them back as they were: the package starts with them.
    """
    buffers = [(buffer, buffer.clone()) for buffer in subject.module.buffers()]
    before = tensors(copy.deepcopy((args, kwargs)))
    # Copied together, so that inputs which share memory still do.
    args, kwargs = copy.deepcopy((args, kwargs))
    torch.manual_seed(0)
    try:
        with torch.no_grad():
            returned = subject.module(*args, **kwargs)
    except Exception as error:
        traceback.print_exc()
        sizes = ", ".join(str(list(tensor.shape)) for tensor in before)
        raise WorkerError(
            f"the module raised {type(error).__name__} on inputs of sizes {sizes}: {naming.first_line(error)}",
            meaning=own_line(error, subject.path),
            fix="correct the module, its example inputs or the range of its dynamic sizes; -v shows the traceback",
            kind="usage",
        ) from error
    leaves = [(naming.keys(path), leaf) for path, leaf in pytree.tree_flatten_with_path(returned)[0]]
    run = Run(
        inputs=before,
        inputs_after=tensors((args, kwargs)),
        # Copied, because an output may be an input, or a part of the module that the next call changes.
        outputs=copy.deepcopy([leaf for _, leaf in leaves if isinstance(leaf, torch.Tensor)]),
        output_paths=[path for path, leaf in leaves if isinstance(leaf, torch.Tensor)],
        others=[(path, leaf) for path, leaf in leaves if not isinstance(leaf, torch.Tensor)],
    )
    with torch.no_grad():
        for buffer, before_call in buffers:
            buffer.copy_(before_call)
    return run


def tensors(tree: Any) -> list[torch.Tensor]:
    """The tensors in nested tuples, lists, dicts and registered types."""
    return [leaf for leaf in pytree.tree_leaves(tree) if isinstance(leaf, torch.Tensor)]


class TensorsOnly(torch.nn.Module):  # type: ignore[misc]  # torch is not where mypy runs
    """A module that returns the tensors of another's outputs, as a flat tuple."""

    def __init__(self, module: Any) -> None:
        super().__init__()
        self.module = module

        @functools.wraps(module.forward)  # torch.export reads the names of inputs from the signature
        def forward(*args: Any, **kwargs: Any) -> tuple[torch.Tensor, ...]:
            return tuple(tensors(self.module(*args, **kwargs)))

        self.forward = forward
