"""Arguments for what depends on where a mask is set."""

from __future__ import annotations

from typing import Any

import torch
from slim_harness import ALL, Generator, case


@case("cpu_nonzero")
def nonzero(g: Generator) -> dict[str, Any]:
    """Values with zeros of both signs among them."""
    return {"self": g.tensor(ALL)}


@case("cpu_nonzero_static")
def nonzero_static(g: Generator) -> dict[str, Any]:
    """More and fewer rows than there are."""
    return {"self": g.tensor(ALL), "size": g.integer(0, 40), "fill_value": g.integer(-3, 3)}


def part_of(g: Generator, shape: list[int]) -> list[int]:
    """A shape that broadcasts to this one."""
    return [1 if g.chance(0.2) else size for size in shape[g.integer(0, len(shape)) if g.chance(0.3) else 0 :]]


@case("cpu_masked_select")
def masked_select(g: Generator) -> dict[str, Any]:
    """Each may broadcast to the other."""
    shape = g.shape()
    return {"self": g.tensor(ALL, part_of(g, shape)), "mask": g.tensor(torch.bool, part_of(g, shape))}


@case("cpu_masked_scatter")
def masked_scatter(g: Generator) -> dict[str, Any]:
    """A source that is large enough, or not."""
    shape = g.shape(large=False)
    dtype = g.choice(ALL)
    source = g.tensor(dtype, g.shape((1, 2, 3)) if g.chance(0.3) else shape)
    return {
        "self": g.tensor(dtype, part_of(g, shape)),
        "mask": g.tensor(torch.bool, part_of(g, shape)),
        "source": source,
    }
