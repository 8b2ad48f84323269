"""Arguments for searching in sorted sequences, repeating, and bags of embeddings."""

from __future__ import annotations

from typing import Any

import torch
from slim_harness import FLOATS, REAL, Generator, case, differs
from torch._subclasses.fake_tensor import FakeTensorMode


def sequences(g: Generator, shape: list[int]) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Sorted along the last dim, or as they are with the indices that would sort them."""
    x = g.values(shape, g.choice(REAL), special=False)
    if g.chance(0.3):
        return g.arranged(x), g.arranged(x.argsort(-1))
    return g.arranged(x.sort(-1).values), None


@case("cpu_searchsorted_Tensor", draws=120)
def searchsorted(g: Generator) -> dict[str, Any]:
    """One sequence for all values or one each; values of the same dtype or of another."""
    shape = g.shape((1, 1, 2, 3), large=False)
    found, sorter = sequences(g, shape)
    values = g.tensor(found.dtype if g.chance(0.7) else REAL, g.shape() if len(shape) == 1 else [*shape[:-1], 7])
    if sorter is not None and sorter.numel() and g.chance(0.05):
        sorter = sorter.clone(memory_format=torch.contiguous_format)
        sorter.view(-1)[0] = shape[-1]
    right = g.chance(0.5)
    side = g.choice([None, "left", "right"])
    if sorter is None:
        return {"sorted_sequence": found, "self": values, "out_int32": int(g.chance(0.3)), "right": right, "side": side}
    return {"sorted_sequence": found, "self": values, "right": right, "side": side, "sorter": sorter}


@case("cpu_searchsorted_Scalar")
def searchsorted_scalar(g: Generator) -> dict[str, Any]:
    """A number among integers or floats."""
    found, sorter = sequences(g, g.shape((1,), large=False))
    value = g.choice([0.5, -1.0, 2.0, float("nan"), float("inf")])
    return {"sorted_sequence": found, "self": value, "right": g.chance(0.5), "sorter": sorter}


@case("cpu_bucketize_Tensor")
def bucketize(g: Generator) -> dict[str, Any]:
    """One sequence of boundaries."""
    boundaries, _ = sequences(g, g.shape((1,), large=False))
    values = g.tensor(boundaries.dtype if g.chance(0.7) else REAL)
    return {
        "self": values,
        "boundaries": boundaries.sort().values,
        "out_int32": int(g.chance(0.3)),
        "right": g.chance(0.5),
    }


@case("cpu_repeat_interleave_Tensor")
def repeat_interleave(g: Generator) -> dict[str, Any]:
    """Now and then a negative count or a wrong total."""
    repeats = torch.randint(-1 if g.chance(0.1) else 0, 5, [g.integer(0, 20)], generator=g.torch)
    total = int(repeats.sum()) + (1 if g.chance(0.05) else 0)
    repeats = g.arranged(repeats if g.chance(0.7) else repeats.int())
    return {"repeats": repeats, "output_size": total if g.chance(0.3) else None}


def same_bags(arguments: dict[str, Any], got: list[torch.Tensor], expected: list[torch.Tensor]) -> str | None:
    """The bags' embeddings. The other outputs, which serve the gradient, have the shapes that torch knows at export.

    As far as libtorch has given as many, their values are its own.
    """
    with FakeTensorMode(allow_non_fake_inputs=True):
        known = torch.ops.aten._embedding_bag(
            arguments["weight"],
            arguments["indices"],
            arguments["offsets"],
            mode=arguments["mode"],
            per_sample_weights=arguments["per_sample_weights"],
            include_last_offset=bool(arguments["include_last_offset"]),
            padding_idx=arguments["padding_idx"],
        )
    for index in (0, 1, 3):  # the size of the other is that of the offsets for the forward pass alone
        if got[index].shape != known[index].shape:
            return f"output {index} has the shape {tuple(got[index].shape)}, not {tuple(known[index].shape)}"
    for index in (1, 2, 3):
        common = min(len(got[index]), len(expected[index]))
        if not torch.equal(got[index][:common], expected[index][:common]):
            return f"output {index} is {got[index].tolist()}, not {expected[index].tolist()}"
    return differs(got[0], expected[0], 8)


@case("cpu__embedding_bag_forward_only", draws=150, check=same_bags)
@case("cpu__embedding_bag", draws=150, check=same_bags)
def embedding_bag(g: Generator) -> dict[str, Any]:
    """Empty bags, padding, all modes; now and then an index out of range."""
    rows, width, n = g.integer(1, 9), g.integer(1, 17), g.integer(0, 12)
    bags = g.integer(1, 5)
    weight = g.tensor(FLOATS, [rows, width], special=False, expanded=False)
    indices = g.indices([n], rows)
    offsets = torch.cat([torch.zeros(1, dtype=torch.int64), torch.randint(0, n + 1, [bags - 1], generator=g.torch)])
    offsets = offsets.sort().values
    mode = g.integer(0, 2)
    include_last = g.chance(0.3)
    if include_last:
        offsets = torch.cat([offsets, torch.tensor([n])])
    if g.chance(0.3):
        indices, offsets = indices.int(), offsets.int()
    return {
        "weight": weight,
        "indices": indices.contiguous(),
        "offsets": offsets,
        "mode": mode,
        "per_sample_weights": g.tensor(weight.dtype, [n], special=False) if mode == 0 and g.chance(0.4) else None,
        "include_last_offset": int(include_last),
        "padding_idx": g.integer(0, rows - 1) if g.chance(0.3) else -1,
    }
