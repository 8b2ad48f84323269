"""Arguments for reading and writing where tensors of indices say."""

from __future__ import annotations

from typing import Any

import torch
from slim_harness import ALL, NUMBERS, REAL, Generator, case

REDUCTIONS = ("sum", "prod", "mean", "amax", "amin")


def scatter_arguments(g: Generator, dtypes: Any, *, distinct: bool) -> dict[str, Any]:
    """self, dim, index and src; `distinct` where what meets in one place has no defined order."""
    shape = g.shape(empty=False, large=g.chance(0.3))
    dtype = g.choice(dtypes)
    x = g.tensor(dtype, shape, expanded=False)
    if not shape:
        return {"self": x, "dim": g.dim(x), "index": torch.tensor(0), "src": g.tensor(dtype, [])}
    dim = g.dim(x)
    over = [g.integer(1, size) for size in shape]
    if not distinct:
        over[dim] = g.integer(0 if g.chance(0.1) else 1, 20)
    if distinct:
        order = torch.rand([shape[dim] if d == dim % len(shape) else n for d, n in enumerate(over)], generator=g.torch)
        index = g.arranged(g.spoiled(order.argsort(dim).narrow(dim, 0, over[dim]).contiguous(), shape[dim]))
    else:
        index = g.indices(over, shape[dim])
        if g.chance(0.2) and index.numel():
            index = index.select(dim - len(shape) if dim >= 0 else dim, 0).unsqueeze(dim).expand(over)
    src = g.tensor(dtype, [n + g.integer(0, 1) for n in over])
    if g.chance(0.2) and not (index.abs() >= 2**31).any():
        index = index.int()
    return {"self": x, "dim": dim, "index": index, "src": src}


def with_out(g: Generator, arguments: dict[str, Any]) -> dict[str, Any]:
    """The output is self, as models have it, or another tensor."""
    x = arguments["self"]
    return {**arguments, "out": x if g.chance(0.5) else torch.zeros_like(x)}


def scatter(g: Generator) -> dict[str, Any]:
    """Plain assignment."""
    return with_out(g, scatter_arguments(g, ALL, distinct=True))


case("cpu_scatter_src_out")(scatter)
case("scatter_out")(scatter)


@case("cpu_scatter_value_out")
def scatter_value(g: Generator) -> dict[str, Any]:
    """The same value everywhere, so that indices may repeat; now and then out of range."""
    arguments = with_out(g, scatter_arguments(g, REAL, distinct=False))
    del arguments["src"]
    return {**arguments, "value": float(g.integer(0, 5))}


def scatter_reduce(g: Generator) -> dict[str, Any]:
    """Every reduction, with and without what was there before."""
    reduce = g.choice(REDUCTIONS)
    arguments = with_out(g, scatter_arguments(g, REAL, distinct=False))
    return {**arguments, "reduce": reduce, "include_self": int(g.chance(0.6))}


case("cpu_scatter_reduce_two_out", draws=150, tolerance=20)(scatter_reduce)
case("scatter_reduce_out", draws=100, tolerance=20)(scatter_reduce)


@case("cpu_index_reduce", draws=150, tolerance=20)
def index_reduce(g: Generator) -> dict[str, Any]:
    """Slices along a dim."""
    x = g.tensor(REAL, g.shape(large=False))
    dim = g.dim(x)
    n = g.integer(0, 6) if x.dim() else 1
    source = [n if d == dim % x.dim() else size for d, size in enumerate(x.shape)]
    index = g.indices([n], x.shape[dim] if x.dim() else 1)
    return {
        "self": x,
        "dim": dim,
        "index": index.int() if g.chance(0.2) else index,
        "source": g.tensor(x.dtype, source),
        "reduce": g.choice(REDUCTIONS[1:]),
        "include_self": int(g.chance(0.6)),
    }


def index_arguments(g: Generator, dtypes: Any, *, bad: bool = True) -> tuple[torch.Tensor, list[torch.Tensor | None]]:
    """self and its indices: integers that broadcast, masks over one or two dims, whole dims."""
    shape = g.shape((1, 2, 2, 3, 4), large=g.chance(0.2), empty=g.chance(0.2))
    bad = bad and 0 not in shape  # torch does not look at indices where it has nothing to read
    x = g.tensor(dtypes, shape, expanded=False)
    common = g.choice([[], [4], [3, 1], [2, 3], [2, 1, 3]])
    indices: list[torch.Tensor | None] = []
    masked = g.chance(0.3)
    d = 0
    while d < len(shape) and (d == 0 or g.chance(0.6)):
        if g.chance(0.3):
            indices.append(None)
            d += 1
        elif masked and all(i is None for i in indices):
            span = g.integer(1, min(2, len(shape) - d))
            indices.append(g.tensor(torch.bool, shape[d : d + span]))
            d += span
            common = [1]
        else:
            part = [1 if g.chance(0.2) else n for n in common]
            index = (
                g.indices(part, shape[d], negative=True, bad=bad) if shape[d] else torch.zeros(part, dtype=torch.int64)
            )
            indices.append(index.int() if g.chance(0.2) else index)
            d += 1
    if all(i is None for i in indices):
        indices[0] = g.indices(common, shape[0], bad=bad) if shape[0] else torch.zeros(common, dtype=torch.int64)
    return x, indices


@case("cpu_index_Tensor", draws=200)
def index(g: Generator) -> dict[str, Any]:
    """Reading."""
    x, indices = index_arguments(g, ALL)
    return {"self": x, "indices": indices}


def index_put_arguments(g: Generator, accumulate: bool) -> dict[str, Any]:
    """Values of the very shape, or that broadcast to it. Without accumulation one value, as places may repeat."""
    x, indices = index_arguments(g, NUMBERS)
    try:
        shape = x[tuple(slice(None) if i is None else i for i in indices)].shape
    except IndexError:
        shape = torch.Size([])
    few = [1 if g.chance(0.2) else size for size in shape][g.integer(0, len(shape)) if g.chance(0.3) else 0 :]
    values = g.tensor(x.dtype, few if accumulate else [], special=False)
    return {"self": x, "indices": indices, "values": values, "accumulate": int(accumulate)}


@case("cpu_index_put", draws=200, tolerance=20)
def index_put(g: Generator) -> dict[str, Any]:
    """Writing to a copy."""
    return index_put_arguments(g, g.chance(0.6))


@case("index_put_out", draws=200, tolerance=20)
def index_put_out(g: Generator) -> dict[str, Any]:
    """Writing in place, as models do, or into another tensor."""
    arguments = index_put_arguments(g, g.chance(0.6))
    return {**with_out(g, arguments), "indices": arguments["indices"]}
