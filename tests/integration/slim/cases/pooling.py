"""Arguments for pooling over two and three dims."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from slim_harness import FLOATS, Generator, case

POOLED = (*FLOATS, torch.int64)


def images(g: Generator, rank: int, dtypes: Any = POOLED, *, special: bool | None = None) -> torch.Tensor:
    """With or without a batch, which may be empty."""
    spatial = [g.integer(1, 9) for _ in range(rank)]
    batch = [] if g.chance(0.2) else [0 if g.chance(0.05) else g.integer(1, 3)]
    return g.tensor(dtypes, [*batch, g.choice((1, 2, 3, 17)), *spatial], special=special)


def windows(g: Generator, rank: int) -> dict[str, Any]:
    """One number for all dims, or one each; now and then impossible."""
    kernel = [g.integer(1, 4) for _ in range(rank)]
    few = g.chance(0.3)
    stride = [g.integer(1, 3) for _ in range(rank)]
    padding = [g.integer(0, k // 2 + (1 if g.chance(0.05) else 0)) for k in kernel]
    return {
        "kernel_size": kernel[:1] if few else kernel,
        "stride": [] if g.chance(0.2) else stride[:1] if few else stride,
        "padding": [0] if few else padding,
        "ceil_mode": int(g.chance(0.4)),
    }


def max_pool(rank: int) -> Callable[[Generator], dict[str, Any]]:
    """Dilated windows; NaN and -inf in some."""
    return lambda g: {"self": images(g, rank), **windows(g, rank), "dilation": [g.integer(1, 2)]}


case("cpu_max_pool2d_with_indices", draws=150)(max_pool(2))
# Torch refuses volumes without a batch that lie in memory as channels-last images do.
case("cpu_max_pool3d_with_indices", draws=100, serves_more=True)(max_pool(3))


def avg_pool(rank: int) -> Callable[[Generator], dict[str, Any]]:
    """Every kind of divisor."""
    return lambda g: {
        "self": images(g, rank),
        **windows(g, rank),
        "count_include_pad": int(g.chance(0.5)),
        "divisor_override": g.integer(-3, 5) if g.chance(0.2) else None,
    }


case("cpu_avg_pool2d", draws=150)(avg_pool(2))
case("cpu_avg_pool3d", draws=100, serves_more=True)(avg_pool(3))


def adaptive(rank: int) -> Callable[[Generator], dict[str, Any]]:
    """Smaller and larger outputs."""
    return lambda g: {"self": images(g, rank, FLOATS), "output_size": [g.integer(1, 7) for _ in range(rank)]}


case("cpu__adaptive_avg_pool2d")(adaptive(2))
case("cpu__adaptive_avg_pool3d")(adaptive(3))
case("cpu_adaptive_max_pool2d")(adaptive(2))
case("cpu_adaptive_max_pool3d")(adaptive(3))


@case("cpu_max_unpool2d")
def max_unpool2d(g: Generator) -> dict[str, Any]:
    """Places in the order of their planes; now and then one outside."""
    return unpool(g, 2)


@case("cpu_max_unpool3d")
def max_unpool3d(g: Generator) -> dict[str, Any]:
    """The same over three dims."""
    return {**unpool(g, 3), "stride": [1, 1, 1], "padding": [0, 0, 0]}


def unpool(g: Generator, rank: int) -> dict[str, Any]:
    """Distinct places, since the order of writes is not specified."""
    x = images(g, rank, FLOATS)
    output = [size + 1 for size in x.shape[-rank:]]
    places = torch.rand([*x.shape[:-rank], torch.Size(output).numel()], generator=g.torch).argsort(-1)
    indices = places[..., : torch.Size(x.shape[-rank:]).numel()].reshape(x.shape).contiguous()
    indices = g.spoiled(indices, torch.Size(output).numel())
    if suggests_channels_last(x):
        indices = indices.contiguous(memory_format=torch.channels_last)
    return {"self": x, "indices": indices, "output_size": output}


def suggests_channels_last(x: torch.Tensor) -> bool:
    """Torch's kernel takes indices to lie as the values do."""
    return x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()


def fractional(rank: int) -> Callable[[Generator], dict[str, Any]]:
    """Random places for the windows of every plane; now and then more windows than fit, or than torch takes."""

    def arguments(g: Generator) -> dict[str, Any]:
        x = g.tensor(FLOATS, [g.integer(1, 3), g.integer(1, 3), *(g.integer(4, 9) for _ in range(rank))])
        samples = torch.rand([x.shape[0], x.shape[1], rank], generator=g.torch).to(x.dtype).clamp(max=0.99)
        kernel = [g.integer(1, 3) for _ in range(rank)]
        most = [size - k + 1 for size, k in zip(x.shape[2:], kernel, strict=True)]
        output = [g.integer(1, n - (0 if g.chance(0.05) else 1)) for n in most]
        return {"self": x, "kernel_size": kernel, "output_size": output, "random_samples": samples}

    return arguments


case("cpu_fractional_max_pool2d")(fractional(2))
case("cpu_fractional_max_pool3d", serves_more=True)(fractional(3))
