"""What random numbers decide: a package draws others than eager PyTorch, whatever the seed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch

from ..failure import WorkerError
from ..subject import Subject
from . import state
from .running import Random, Run, call_eager
from .state import same_bytes

#: What it takes to believe that something does not follow from the seed.
_SEEDS = (1, 2, 3)
#: Arguments that turn an op's random numbers off: `dropout(x, p, train)`.
_OFF = {"train": False, "training": False, "dropout_p": 0.0}


def draws(program: Any) -> bool:
    """Whether a graph has an op that draws random numbers."""
    graphs = [module.graph for module in program.graph_module.modules() if isinstance(module, torch.fx.GraphModule)]
    return any(_draws(node) for graph in graphs for node in graph.nodes)


def _draws(node: Any) -> bool:
    if not isinstance(node.target, torch._ops.OpOverload):
        return False
    if torch.Tag.nondeterministic_seeded not in node.target.tags:
        return False
    if not node.users and not node.target._schema.is_mutable:
        return False  # nobody reads them
    given = dict(node.kwargs)
    for argument, value in zip(node.target._schema.arguments, node.args, strict=False):
        given[argument.name] = value
    for argument in node.target._schema.arguments:
        if argument.name in _OFF:
            value = given.get(argument.name, argument.default_value)
            return bool(value != _OFF[argument.name])
    return True


def mark(
    program: Any,
    subject: Subject,
    run: Run,
    outputs: Sequence[Mapping[str, Any]],
    note: Callable[[str], None],
    *,
    calls: int = 1,
) -> None:
    """Let a run say what random numbers decide of it; `note` is told.

    Args:
        program: the graph of what it ran.
        outputs: what the signature says of them.
        calls: after how many in a row what a module keeps may show.
    """
    if draws(program):
        run.random = _random(subject, [run] if calls == 1 else _in_a_row(subject, calls, seed=0))
    for place in sorted(run.random.outputs):
        note(f"random numbers decide output {outputs[place]['name']}: it is neither recorded nor compared with eager")


def _random(subject: Subject, runs: Sequence[Run]) -> Random:
    """What is other when the random numbers are, of what calls in a row return and of what they write into inputs."""
    outputs: set[int] = set()
    inputs: set[int] = set()
    for seed in _SEEDS:
        try:
            others = _in_a_row(subject, len(runs), seed)
        except WorkerError:  # the numbers of another seed may not do
            continue
        for run, other in zip(runs, others, strict=True):
            outputs |= _unequal(run.outputs, other.outputs)
            inputs |= _unequal(run.inputs_after, other.inputs_after)
    return Random(True, frozenset(outputs), frozenset(inputs))


def _in_a_row(subject: Subject, calls: int, seed: int) -> list[Run]:
    """Calls that find what the one before left in the module, which then is as it was."""
    with state.kept(subject.module):
        return [call_eager(subject, subject.args, subject.kwargs, seed=seed) for _ in range(calls)]


def _unequal(ours: Iterable[torch.Tensor], theirs: Iterable[torch.Tensor]) -> set[int]:
    return {
        place
        for place, (one, other) in enumerate(zip(ours, theirs, strict=True))
        if one.shape != other.shape or not same_bytes(one, other)
    }
