"""Arguments for Fourier transforms: lengths of small and of large prime factors, several dims.

Torch refuses empty batches.
"""

from __future__ import annotations

from typing import Any

import torch
from slim_harness import COMPLEX, Generator, case

LENGTHS = (1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 17, 30, 49, 64, 100, 127, 202, 400)


def dims_of(g: Generator, dtypes: Any) -> dict[str, Any]:
    """A tensor and the dims to transform, in any order."""
    rank = g.integer(1, 3)
    shape = [g.choice(LENGTHS) if rank == 1 else g.choice(LENGTHS[:12]) for _ in range(rank)]
    if g.chance(0.05):
        shape = g.choice([[4001], [67 * 67], [0, 8]])
    x = g.tensor(dtypes, shape, special=False)
    dims = g.random.sample(range(len(shape)), g.integer(1, len(shape)))
    return {"self": x, "dim": dims, "normalization": g.integer(0, 2)}


@case("cpu__fft_c2c", draws=120, tolerance=30, serves_more=True)
def c2c(g: Generator) -> dict[str, Any]:
    """There and back."""
    return {**dims_of(g, COMPLEX), "forward": int(g.chance(0.5))}


@case("cpu__fft_r2c", draws=120, tolerance=30, serves_more=True)
def r2c(g: Generator) -> dict[str, Any]:
    """With and without the half that follows from the other."""
    return {**dims_of(g, (torch.float32, torch.float64)), "onesided": int(g.chance(0.7))}
