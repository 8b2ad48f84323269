"""The module as eager PyTorch runs it: what the package must agree with."""

from __future__ import annotations

import contextlib
import copy
import functools
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils import _pytree as pytree

from . import naming
from .failure import WorkerError, essence, own_line
from .subject import Subject


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

    A module that changes its own state gets it back as it was: the package starts with it.
    """
    with state_kept(subject.module):
        return call_eager(subject, args, kwargs)


@contextlib.contextmanager
def state_kept(module: Any) -> Iterator[None]:
    """Whatever is called within, the module then has the state that it had."""
    modules = list(module.modules())
    plain = [{key: value for key, value in vars(each).items() if _is_plain(value)} for each in modules]
    owned = [dict(each._buffers) for each in modules]
    buffers = [(buffer, buffer.clone()) for buffer in module.buffers()]
    yield
    for each, before, tensors_before in zip(modules, plain, owned, strict=True):
        vars(each).update(before)
        each._buffers.update(tensors_before)  # `self.count = self.count + 1` puts another tensor there
    with torch.no_grad():
        for buffer, before_call in buffers:
            buffer.copy_(before_call)


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, (bool, int, float, str))


def call_eager(subject: Subject, args: Any, kwargs: Any) -> Run:
    """As `run_eager`, and the module keeps the state that it comes to."""
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
            f"the module raised {type(error).__name__} on inputs of sizes {sizes}: {essence(error)}",
            meaning=own_line(error, subject.path) or f"it was raised outside of {subject.path.name}",
            fix="correct the module, its example inputs or the range of its dynamic sizes; -v shows the traceback",
            kind="usage",
        ) from error
    leaves = [(naming.keys(path), leaf) for path, leaf in pytree.tree_flatten_with_path(returned)[0]]
    return Run(
        inputs=before,
        inputs_after=tensors((args, kwargs)),
        # Copied, because an output may be an input, or a part of the module that the next call changes.
        outputs=[leaf.detach().clone() for _, leaf in leaves if isinstance(leaf, torch.Tensor)],
        output_paths=[path for path, leaf in leaves if isinstance(leaf, torch.Tensor)],
        others=[(path, leaf) for path, leaf in leaves if not isinstance(leaf, torch.Tensor)],
    )


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
