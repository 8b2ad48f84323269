"""Arguments for the functions that scan along a dim."""

from __future__ import annotations

from typing import Any

from slim_harness import ALL, FLOATS, NUMBERS, REAL, Generator, case


def cumulative(g: Generator) -> dict[str, Any]:
    """A tensor, a dim, and at times the dtype to compute in."""
    x = g.tensor(ALL)
    return {"self": x, "dim": g.dim(x), "dtype": g.choice([None, None, *NUMBERS])}


case("cpu_cumsum", tolerance=4)(cumulative)


@case("cpu_cumprod", tolerance=4)
def cumprod(g: Generator) -> dict[str, Any]:
    """Like cumsum; long products only of numbers near 1, lest all be zero or infinite."""
    arguments = cumulative(g)
    x = arguments["self"]
    if x.dtype.is_floating_point and x.numel() > 1000:
        arguments["self"] = (x.to(float).nan_to_num(0, 0, 0).clamp(-4, 4) / 1e4 + 1).to(x.dtype)
    return arguments


@case("cpu_logcumsumexp", tolerance=8)
def logcumsumexp(g: Generator) -> dict[str, Any]:
    """Floats alone."""
    x = g.tensor(FLOATS)
    return {"self": x, "dim": g.dim(x)}


def extreme(g: Generator) -> dict[str, Any]:
    """Values with ties and NaN, since their indices matter."""
    x = g.tensor((*REAL, *ALL[-1:]))
    return {"self": x, "dim": g.dim(x)}


case("cpu_cummax")(extreme)
case("cpu_cummin")(extreme)
