"""Named sizes as hints.

torch.export asks a solver whether all sizes that a named dim declares are served, and takes for no what the solver
cannot prove: `n // 2 <= n`. Told by hints that the same sizes may vary, it writes down what it needs, which may be
nothing.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.utils import _pytree as pytree

from ..subject import Subject
from . import guards
from .symbols import asked_of_inputs, dim_of, sizes_of


def as_hints(dynamic_shapes: Any) -> Any | None:
    """The same with a hint of its range for each named dim; None where there is none, or one derived of another."""
    dims = [leaf for leaf in pytree.tree_leaves(dynamic_shapes, is_leaf=_is_dim) if _is_dim(leaf)]
    if not dims or any(type(dim) is not torch.export.Dim for dim in dims):
        return None
    return pytree.tree_map(lambda leaf: _hint(leaf) if _is_dim(leaf) else leaf, dynamic_shapes, is_leaf=_is_dim)


def text(dynamic_shapes: Any) -> str:
    """How to write it: `h = Dim.DYNAMIC(min=16, max=2048)`."""
    dims = {leaf.__name__: leaf for leaf in pytree.tree_leaves(dynamic_shapes, is_leaf=_is_dim) if _is_dim(leaf)}
    return "; ".join(
        f"{name} = Dim.DYNAMIC(" + ", ".join(f"{key}={bound}" for key, bound in _bounds(dim).items()) + ")"
        for name, dim in dims.items()
    )


def _is_dim(value: Any) -> bool:
    return isinstance(value, torch.export.Dim)


def _hint(dim: Any) -> Any:
    return torch.export.Dim.DYNAMIC(**_bounds(dim))


def _bounds(dim: Any) -> dict[str, int]:
    bounds = {"min": dim.min, "max": dim.max}
    return {key: bound for key, bound in bounds.items() if isinstance(bound, int)}


def serves(program: Any, subject: Subject) -> bool:
    """Whether a program that was traced with `as_hints` serves every size that the subject declares by name."""
    found: dict[Any, Any] = {}
    for symbol, dim in _varying(program, subject):
        if not getattr(symbol, "is_Symbol", False) or found.setdefault(dim, symbol) != symbol:
            return False
    ranges = dict(program.range_constraints)
    if len(set(found.values())) < len(found) or not all(_covers(ranges.get(s), dim) for dim, s in found.items()):
        return False
    shape_env = guards.environment(program)
    names = {symbol: str(symbol) for symbol in ranges}
    try:
        return all(
            guards.follows(expr, names, ranges)
            for expr in guards.demands(shape_env, len(shape_env.guards))
            if expr.free_symbols <= set(found.values())
        )
    except guards.NotInTheLanguageError:
        return False


def _varying(program: Any, subject: Subject) -> list[tuple[Any, Any]]:
    """Sizes of inputs and the dims that name them."""
    placeholders = {node.name: node.meta.get("val") for node in program.graph.nodes if node.op == "placeholder"}
    inputs = [spec.arg for spec in program.graph_signature.input_specs if spec.kind.name == "USER_INPUT"]
    pairs = []
    for spec, argument in zip(asked_of_inputs(subject.dynamic_shapes, subject), inputs, strict=True):
        value = placeholders.get(getattr(argument, "name", ""))
        if isinstance(value, torch.Tensor):
            pairs += [(size, dim_of(spec, index)) for index, size in enumerate(sizes_of(value))]
    return [(size, dim) for size, dim in pairs if _is_dim(dim)]


def _covers(bound: Any, dim: Any) -> bool:
    # Sizes of 0 and 1 are torch's own exception: a hint is of two at least unless it says otherwise.
    return bound is not None and bool(bound.lower <= dim.min) and bool(bound.upper >= dim.max)
