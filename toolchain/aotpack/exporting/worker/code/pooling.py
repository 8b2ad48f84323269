"""Pools over bytes, which PT2E leaves between quantised convolutions.

Inductor calls libtorch's `quantized::max_pool2d` for them, through the proxy executor, which one runtime alone has. The
largest of some bytes needs no op: it is a loop like that over floats.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch._inductor import config, lowering

#: Windows of up to so many places are loops written out, as Inductor has it of floats.
_MOST_PLACES = 25


def patch_to_generate() -> None:
    """Let what is compiled from now on in this process have loops for pools over bytes."""
    pool = getattr(lowering, "_max_pool_with_offsets", None)
    if pool is None:
        return  # an older torch: as it was

    def largest(
        x: Any,
        kernel_size: Sequence[int],
        stride: Sequence[int],
        padding: Sequence[int],
        dilation: Sequence[int],
        ceil_mode: bool,
    ) -> Any:
        with config.patch(unroll_reductions_threshold=_MOST_PLACES):
            return pool(x, kernel_size, stride, padding, dilation, ceil_mode, n_dim=2)[0]

    lowering.lowerings[torch.ops.quantized.max_pool2d.default] = largest
