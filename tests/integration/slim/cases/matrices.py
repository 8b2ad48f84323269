"""Arguments for triangular systems, unpacked factorisations, int8 weights, and sampling of volumes."""

from __future__ import annotations

from typing import Any

import torch
from slim_harness import COMPLEX, Generator, case

INEXACT = (torch.float32, torch.float64, *COMPLEX)
BATCHES: tuple[tuple[list[int], list[int]], ...] = (([], []), ([3], [3]), ([2, 1], [3]), ([1], [2]), ([0], [0]))


def well_conditioned(g: Generator, shape: list[int], dtype: torch.dtype) -> torch.Tensor:
    """Triangles of which have a large diagonal."""
    x = g.values([*shape[:-1], shape[-1]], dtype, special=False)
    return g.arranged(x / 4 + 2 * torch.eye(shape[-1], dtype=dtype))


@case("cpu_triangular_solve", draws=100, tolerance=30)
def triangular_solve(g: Generator) -> dict[str, Any]:
    """Every triangle, with batches that broadcast."""
    n, columns, dtype, batches = g.integer(1, 7), g.integer(1, 5), g.choice(INEXACT), g.choice(BATCHES)
    return {
        "self": g.tensor(dtype, [*batches[0], n, columns], special=False),
        "A": well_conditioned(g, [*batches[1], n, n], dtype),
        "upper": int(g.chance(0.5)),
        "transpose": int(g.chance(0.5)),
        "unitriangular": int(g.chance(0.3)),
    }


@case("cpu_cholesky_solve", draws=100, tolerance=100)
def cholesky_solve(g: Generator) -> dict[str, Any]:
    """Either factor."""
    n, columns, dtype, batches = g.integer(1, 7), g.integer(1, 5), g.choice(INEXACT), g.choice(BATCHES)
    return {
        "self": g.tensor(dtype, [*batches[0], n, columns], special=False),
        "input2": well_conditioned(g, [*batches[1], n, n], dtype),
        "upper": int(g.chance(0.5)),
    }


@case("cpu_cholesky_inverse", draws=60, tolerance=100)
def cholesky_inverse(g: Generator) -> dict[str, Any]:
    """Either factor; a real diagonal, as a factor has, which torch's LAPACK takes for granted."""
    n, batches = g.integer(1, 7), g.choice(BATCHES)
    x = well_conditioned(g, [*batches[0], n, n], g.choice(INEXACT))
    if x.is_complex():
        x = x.clone()
        x.diagonal(dim1=-2, dim2=-1).imag.zero_()
    return {"self": x, "upper": int(g.chance(0.5))}


@case("cpu_lu_unpack", draws=80)
def lu_unpack(g: Generator) -> dict[str, Any]:
    """Any shape of matrix; pivots at or below their row; now and then one that is no row."""
    rows, columns, dtype, batch = g.integer(1, 6), g.integer(1, 6), g.choice(INEXACT), g.choice(BATCHES)[0]
    rank = min(rows, columns)
    pivots = torch.stack(
        [torch.randint(i + 1, rows + 1, batch, generator=g.torch, dtype=torch.int32) for i in range(rank)], -1
    )
    if g.chance(0.05) and pivots.numel():
        pivots.view(-1)[0] = g.choice([0, rows + 1])
    wants_data = g.chance(0.8)
    return {
        "LU_data": g.tensor(dtype, [*batch, rows, columns], special=False, expanded=False),
        "LU_pivots": pivots.contiguous(),
        "unpack_data": int(wants_data),
        "unpack_pivots": int(not wants_data or g.chance(0.7)),
    }


@case("cpu__weight_int8pack_mm", draws=40, tolerance=4)
def int8_matmul(g: Generator) -> dict[str, Any]:
    """Contiguous, in the blocks that torch's kernels ask for."""
    m, n, k = g.integer(1, 9), 16 * g.integer(1, 3), 32 * g.integer(1, 3)
    dtype = g.choice((torch.float32, torch.bfloat16, torch.float16))
    weight = torch.randint(-128, 128, [n, k], generator=g.torch, dtype=torch.int8)
    return {
        "self": g.values([m, k], dtype, special=False),
        "mat2": weight,
        "scales": g.values([n], dtype, special=False) / 100,
    }


@case("cpu_grid_sampler_3d", draws=150, tolerance=16)
def grid_sampler_3d(g: Generator) -> dict[str, Any]:
    """Every mode; places far outside, infinite and NaN ones."""
    dtype = g.choice((torch.float32, torch.float64))
    batch = g.integer(1, 3)
    volume = [batch, g.integer(1, 3), *(g.integer(1, 5) for _ in range(3))]
    grid = g.tensor(dtype, [batch, *(g.integer(1, 4) for _ in range(3)), 3])
    return {
        "input": g.tensor(dtype, volume, special=False),
        "grid": grid,
        "interpolation_mode": g.integer(0, 1),
        "padding_mode": g.integer(0, 2),
        "align_corners": int(g.chance(0.5)),
    }
