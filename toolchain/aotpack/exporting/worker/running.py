"""The module as eager PyTorch runs it: what the package must agree with."""

from __future__ import annotations

import contextlib
import copy
import functools
import traceback
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.utils import _pytree as pytree

from . import naming
from .failure import WorkerError, essence, own_line
from .subject import Subject


@dataclass
class Changes:
    """What a call does to the module itself, beside writing into its buffers."""

    #: Buffers that it replaces by tensors of other values.
    assigned: list[str]
    #: Buffers that it makes where there was None.
    made: list[str]
    #: Plain attributes, as `count: 0 -> 1`.
    attributes: list[str]


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
    #: Whether AOTInductor can write down how the outputs nest.
    nests_plainly: bool
    changes: Changes = field(default_factory=lambda: Changes([], [], []))


def run_eager(subject: Subject, args: Any, kwargs: Any) -> Run:
    """Call the module as Python would, on copies of its inputs. Raises WorkerError when the module raises.

    A module that changes its own state gets it back as it was: the package starts with it.
    """
    with state_kept(subject.module) as changes:
        run = call_eager(subject, args, kwargs)
    run.changes = changes
    return run


@contextlib.contextmanager
def state_kept(module: Any) -> Iterator[Changes]:
    """Whatever is called within, the module then has the state that it had; what was changed is told at the end."""
    names, modules = zip(*module.named_modules(), strict=True)
    plain = [{key: value for key, value in vars(each).items() if _is_plain(value)} for each in modules]
    owned = [dict(each._buffers) for each in modules]
    buffers = values_of(module.buffers())
    changes = Changes([], [], [])
    try:
        yield changes
    finally:
        values = {id(buffer): value for buffer, value in buffers}
        for name, each, before, tensors_before in zip(names, modules, plain, owned, strict=True):
            prefix = f"{name}." if name else ""
            changes.assigned += [
                f"{prefix}{key}"
                for key, buffer in tensors_before.items()
                if _is_another(each._buffers.get(key), buffer, values.get(id(buffer)))
            ]
            changes.made += [
                f"{prefix}{key}"
                for key, buffer in tensors_before.items()
                if buffer is None and each._buffers.get(key) is not None
            ]
            changes.attributes += [
                f"{prefix}{key}: {value!r} -> {vars(each)[key]!r}"
                for key, value in before.items()
                if key in vars(each) and _is_plain(vars(each)[key]) and not _is_same(vars(each)[key], value)
            ]
            vars(each).update(before)
            each._buffers.update(tensors_before)  # `self.count = self.count + 1` puts another tensor there
        put_back(buffers)


def _is_same(now: Any, before: Any) -> bool:
    return now is before or bool(now == before)  # a float that is no number equals nothing


def _is_another(now: Any, before: Any, value: Any) -> bool:
    """Whether a buffer is replaced by one of another value, and not computed once more."""
    if now is before or now is None or before is None:
        return False
    return value is None or now.shape != value.shape or not torch.equal(now, value)


def values_of(buffers: Iterable[torch.Tensor]) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Buffers that a call may write into, and what they hold; nobody can write into what was expanded."""
    return [(buffer, buffer.detach().clone()) for buffer in buffers if not _is_expanded(buffer)]


def _is_expanded(buffer: torch.Tensor) -> bool:
    return buffer.layout == torch.strided and any(
        stride == 0 and size > 1 for stride, size in zip(buffer.stride(), buffer.shape, strict=True)
    )


def put_back(values: Iterable[tuple[torch.Tensor, torch.Tensor]]) -> None:
    """Let buffers hold what `values_of` found in them."""
    with torch.inference_mode():  # it may be a tensor of this mode, which no other may write into
        for buffer, value in values:
            buffer.copy_(value)


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
        nests_plainly=_can_be_written(pytree.tree_structure(returned)),
    )


def _can_be_written(structure: Any) -> bool:
    """Not of types that have no name to be written by, such as what `x.max(1)` returns."""
    try:
        pytree.treespec_dumps(structure)
    except (NotImplementedError, TypeError):
        return False
    return True


def tensors(tree: Any) -> list[torch.Tensor]:
    """The tensors in nested tuples, lists, dicts and registered types."""
    return [leaf for leaf in pytree.tree_leaves(tree) if isinstance(leaf, torch.Tensor)]


#: Below which name the module lies in `TensorsOnly`.
RENAMED = "module"


class TensorsOnly(torch.nn.Module):  # type: ignore[misc]  # torch is not where mypy runs
    """A module that returns the tensors of another's outputs, as a flat tuple."""

    def __init__(self, module: Any) -> None:
        super().__init__()
        self.module = module

        @functools.wraps(module.forward)  # torch.export reads the names of inputs from the signature
        def forward(*args: Any, **kwargs: Any) -> tuple[torch.Tensor, ...]:
            return tuple(tensors(self.module(*args, **kwargs)))

        self.forward = forward
