"""Arguments for distances, histograms, windows, reductions over dims and over segments."""

from __future__ import annotations

from typing import Any

import torch
from slim_harness import FLOATS, REAL, Generator, case

WIDE = (torch.float32, torch.float64)


@case("cpu__cdist_forward", draws=120, tolerance=100)
def cdist(g: Generator) -> dict[str, Any]:
    """Few rows, many rows, batches that broadcast. Finite, as torch multiplies matrices for many rows."""
    dtype = g.choice(WIDE)
    p = g.choice([0.0, 1.0, 2.0, 2.0, 3.0, 0.5, float("inf")])
    rows = (g.integer(1, 30), g.integer(1, 30)) if g.chance(0.9) else (0, 3)
    width = g.integer(1, 9)
    batches = g.choice([([], []), ([2], [2]), ([2, 1], [3]), ([1], [4])])
    x1, x2 = (g.tensor(dtype, [*b, n, width], special=False) for b, n in zip(batches, rows, strict=True))
    return {"x1": x1, "x2": x2, "p": p, "compute_mode": 2}


@case("cpu__pdist_forward", tolerance=8)
def pdist(g: Generator) -> dict[str, Any]:
    """Contiguous, as torch's kernel asks for."""
    x = g.values([g.integer(0, 20), g.integer(1, 9)], g.choice(WIDE))
    return {"self": x, "p": g.choice([0.0, 1.0, 2.0, 3.0, 0.5, float("inf")])}


@case("cpu__trilinear", tolerance=8)
def trilinear(g: Generator) -> dict[str, Any]:
    """As torch.nn.functional.bilinear calls it."""
    n, i, j, o = (g.integer(1, 5) for _ in range(4))
    dtype = g.choice(WIDE)
    return {
        "i1": g.tensor(dtype, [n, i], special=False),
        "i2": g.tensor(dtype, [o, i, j], special=False),
        "i3": g.tensor(dtype, [n, j], special=False),
        "expand1": [1, 3],
        "expand2": [0],
        "expand3": [1, 2],
        "sumdim": [2, 3],
        "unroll_dim": 1,
    }


@case("aten_amax", draws=100)
def amax(g: Generator) -> dict[str, Any]:
    """Some dims, or all."""
    x = g.tensor((*REAL, torch.bool))
    dims = g.random.sample(range(x.dim()), g.integer(0, x.dim()))
    return {"self": x, "dim": dims, "keepdim": int(g.chance(0.5))}


@case("cpu_hann_window")
def hann_window(g: Generator) -> dict[str, Any]:
    """Lengths from 0."""
    return {"window_length": g.integer(0, 50), "dtype": g.choice([None, *WIDE])}


@case("cpu_histc", draws=100)
def histc(g: Generator) -> dict[str, Any]:
    """The values' own range, which must be finite, or a given one."""
    low, high = g.choice([(0.0, 0.0), (-1.0, 1.0), (0.0, 2.5), (1.0, -1.0)])
    return {"self": g.tensor(WIDE), "bins": g.integer(1, 20), "min": low, "max": high}


@case("cpu_histogram_bin_ct", draws=100, tolerance=100)
def histogram(g: Generator) -> dict[str, Any]:
    """With and without weights, range and density."""
    x = g.tensor(WIDE)
    weight = g.tensor(x.dtype, x.shape, special=False).abs() if g.chance(0.3) else None
    interval = g.choice([None, [-1.0, 1.0], [0.0, 0.0]])
    return {"self": x, "bins": g.integer(1, 20), "range": interval, "weight": weight, "density": int(g.chance(0.3))}


@case("cpu__histogramdd_from_bin_cts", draws=60, tolerance=4)
def histogramdd(g: Generator) -> dict[str, Any]:
    """Points of one to three dims."""
    dims = g.integer(1, 3)
    x = g.tensor(WIDE, [g.integer(1, 40), dims], special=False)
    interval = [-1.0, 1.0] * dims if g.chance(0.5) else None
    return {"self": x, "bins": [g.integer(1, 5) for _ in range(dims)], "range": interval, "density": int(g.chance(0.3))}


@case("cpu_segment_reduce", draws=120, tolerance=4)
def segment_reduce(g: Generator) -> dict[str, Any]:
    """By lengths, which may be zero or not add up, or by offsets."""
    segments = g.integer(1, 5)
    lengths = torch.randint(0, 4, [segments], generator=g.torch)
    total = int(lengths.sum()) + (1 if g.chance(0.05) else 0)
    data = g.tensor(FLOATS, [total, *g.shape((0, 1, 2), large=False, empty=False)])
    arguments: dict[str, Any] = {"data": data, "reduce": g.choice(["max", "min", "mean", "sum", "prod"]), "axis": 0}
    if g.chance(0.3):
        arguments["offsets"] = torch.cat([torch.zeros(1, dtype=torch.int64), lengths.cumsum(0)])
    else:
        arguments["lengths"] = g.arranged(lengths)
    return {**arguments, "initial": g.choice([None, None, 1.0])}


@case("cpu__fused_rms_norm", draws=100, tolerance=4)
def rms_norm(g: Generator) -> dict[str, Any]:
    """Over the last one or two dims."""
    x = g.tensor(FLOATS, g.shape((1, 2, 3), empty=False), special=False)
    over = list(x.shape[-g.integer(1, x.dim()) :])
    weight = g.tensor(x.dtype, over, special=False) if g.chance(0.6) else None
    return {"input": x, "normalized_shape": over, "weight": weight, "eps": g.choice([None, 1e-5, 1e-3])}
