"""The module as eager PyTorch runs it: what the package must agree with."""

from __future__ import annotations

import copy
import functools
import inspect
import traceback
from dataclasses import dataclass, field
from typing import Any

import torch

from .. import naming
from ..failure import WorkerError, essence, own_line
from ..subject import Subject
from . import nesting, state
from .nesting import tensors
from .state import Changes

#: So far apart may two calls be that compute the same: sums depend on where in memory numbers lie.
_NOISE = 1e-4


@dataclass(frozen=True)
class Random:
    """Which places random numbers decide."""

    #: Whether there are any.
    draws: bool = False
    #: Of the outputs.
    outputs: frozenset[int] = frozenset()
    #: Of the inputs, which the module writes into.
    inputs: frozenset[int] = frozenset()


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
    #: Whether a second call with the same inputs and buffers gave the same.
    repeats: bool = True
    random: Random = Random()


def run_eager(subject: Subject, args: Any, kwargs: Any) -> Run:
    """Call the module as Python would, on copies of its inputs. Raises WorkerError when the module raises.

    A module that changes its own state gets it back as it was: the package starts with it.
    """
    with state.attributes_kept(subject.module) as attributes:
        with state.buffers_kept(subject.module) as changes:
            run = call_eager(subject, args, kwargs)
        changes.attributes = attributes.changes()
        with state.buffers_kept(subject.module):
            run.repeats = _repeats(run, subject, args, kwargs)
    run.changes = changes
    return run


def _repeats(run: Run, subject: Subject, args: Any, kwargs: Any) -> bool:
    """Whether a module that has been called gives the same in its next call."""
    try:
        again = call_eager(subject, args, kwargs)
    except WorkerError:  # a list that has grown fits nothing any more
        return False
    return len(again.outputs) == len(run.outputs) and all(map(_is_alike, again.outputs, run.outputs))


def _is_alike(now: torch.Tensor, before: torch.Tensor) -> bool:
    if now.layout != torch.strided or now.is_nested or now.is_quantized:
        return True  # no output of a bundle
    if now.shape != before.shape or now.dtype != before.dtype:
        return False
    if not (now.is_floating_point() or now.is_complex()):
        return bool(torch.equal(now, before))
    noise = max(_NOISE, 4 * torch.finfo(now.dtype).eps)
    wide = torch.complex128 if now.is_complex() else torch.float64
    now, before = now.to(wide), before.to(wide)
    largest = float(before.abs().nan_to_num(0, 0, 0).max()) if before.numel() else 0.0
    return bool(torch.allclose(now, before, rtol=noise, atol=noise * largest, equal_nan=True))


def call_eager(subject: Subject, args: Any, kwargs: Any, *, seed: int = 0) -> Run:
    """As `run_eager`, and the module keeps the state that it comes to."""
    before = tensors(copy.deepcopy((args, kwargs)))
    # Copied together, so that inputs which share memory still do.
    args, kwargs = copy.deepcopy((args, kwargs))
    given = tensors((args, kwargs))  # the module may put others into lists and dicts
    torch.manual_seed(seed)
    try:
        with torch.no_grad(), torch.compiler.set_stance("force_eager"):
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
    leaves = nesting.leaves(returned, of_any_type=True)
    return Run(
        inputs=before,
        inputs_after=given,
        # Copied, because an output may be an input, or a part of the module that the next call changes.
        outputs=[leaf.detach().clone() for _, leaf in leaves if isinstance(leaf, torch.Tensor)],
        output_paths=[path for path, leaf in leaves if isinstance(leaf, torch.Tensor)],
        others=[(path, leaf) for path, leaf in leaves if not isinstance(leaf, torch.Tensor)],
        nests_plainly=nesting.is_plain(returned),
    )


def is_told(value: Any) -> bool:
    """Whether an output that is no tensor says by itself what it is."""
    return value is None or (isinstance(value, (bool, int, float, complex, str)) and len(repr(value)) < 80)


#: Below which name the module lies in `TensorsOnly`.
RENAMED = "module"


class TensorsOnly(torch.nn.Module):  # type: ignore[misc]  # torch is not where mypy runs
    """A module that returns the tensors of another's outputs, as a flat tuple.

    Args:
        module: the other one.
        signature: of its inputs; its own by default.
    """

    def __init__(self, module: Any, signature: inspect.Signature | None = None) -> None:
        super().__init__()
        self.module = module

        @functools.wraps(module.forward)  # torch.export reads the names of inputs from the signature
        def forward(*args: Any, **kwargs: Any) -> tuple[torch.Tensor, ...]:
            return tuple(tensors(self.module(*args, **kwargs)))

        if signature is not None:
            forward.__signature__ = signature  # type: ignore[attr-defined]
        self.forward = forward
