"""Arguments for sorting and for what picks elements by their order."""

from __future__ import annotations

from typing import Any

import torch
from slim_harness import REAL, Generator, case, differs

SORTABLE = (*REAL, torch.bool, torch.uint16)


def names_its_values(arguments: dict[str, Any], got: list[torch.Tensor], expected: list[torch.Tensor]) -> str | None:
    """The same values; indices may be others where elements are equal, but must point at the values."""
    if (problem := differs(got[0], expected[0], 1)) is not None:
        return problem
    x = arguments["self"]
    if x.dim() == 0:
        return differs(got[1], expected[1], 1)
    dim = arguments["dim"]
    values, indices = got[:2]
    if not arguments.get("keepdim", True):
        values, indices = values.unsqueeze(dim), indices.unsqueeze(dim)
    if x.dtype == torch.uint16:
        x, values = x.int(), values.int()
    return differs(x.gather(dim, indices), values, 1, strides=False)


def sort(g: Generator) -> dict[str, Any]:
    """Any tensor and dim."""
    x = g.tensor((*SORTABLE, torch.complex64) if g.chance(0.05) else SORTABLE)
    return {"self": x, "dim": g.dim(x), "descending": g.chance(0.5)}


@case("cpu_sort_stable")
def sort_stable(g: Generator) -> dict[str, Any]:
    """Stable: indices are compared too."""
    return {**sort(g), "stable": 1}


case("cpu_sort", check=names_its_values)(sort)


@case("cpu_topk", draws=120)
def topk(g: Generator) -> dict[str, Any]:
    """Now and then more than there are."""
    x = g.tensor(REAL)
    dim = g.dim(x)
    n = x.shape[dim] if x.dim() else 1
    k = n + 1 if g.chance(0.05) else g.integer(0, n)
    return {"self": x, "k": k, "dim": dim, "largest": g.chance(0.5), "sorted": g.chance(0.8)}


@case("cpu_kthvalue", check=names_its_values)
def kthvalue(g: Generator) -> dict[str, Any]:
    """k from 1, now and then out of range."""
    x = g.tensor(REAL)
    dim = g.dim(x)
    n = x.shape[dim] if x.dim() else 1
    return {"self": x, "k": g.integer(0 if g.chance(0.1) else 1, max(n, 1)), "dim": dim, "keepdim": g.chance(0.5)}


@case("cpu_mode", check=names_its_values)
def mode(g: Generator) -> dict[str, Any]:
    """Few distinct values occur often enough in what the generator draws."""
    x = g.tensor((*REAL, torch.bool), g.shape(large=False), special=False)
    return {"self": x, "dim": g.dim(x), "keepdim": g.chance(0.5)}


@case("cpu_median")
def median(g: Generator) -> dict[str, Any]:
    """All elements together."""
    shape = g.shape(empty=False)
    return {"self": g.tensor(REAL, shape)}


case("cpu_nanmedian")(median)
