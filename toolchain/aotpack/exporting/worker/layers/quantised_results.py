"""Convolutions of bytes put their results in memory with the channels last, whatever they are given.

Where sizes vary, Inductor (pytorch 2.13) expects the channels first of one whose input has a single channel or a single
place, as it is of floats: what follows then reads the numbers in another order.
"""

from __future__ import annotations

import inspect
from typing import Any

from torch._inductor import ir, mkldnn_ir
from torch._prims_common import make_channels_last_strides_for

_CREATE = "_prepare_convolution_fusion_create"


def patch_to_expect_channels_last() -> None:
    """Let what is compiled from now on in this process read such results as they lie."""
    create = getattr(mkldnn_ir, _CREATE, None)
    if create is None:
        return  # an older torch
    parameters = inspect.signature(create)

    def prepared(*given: Any, **named: Any) -> Any:
        inputs, constants, layout, *rest = create(*given, **named)
        if parameters.bind(*given, **named).arguments.get("quantize_args") is not None:
            strides = make_channels_last_strides_for(layout.size)
            layout = ir.FixedLayout(layout.device, layout.dtype, layout.size, list(strides))
        return inputs, constants, layout, *rest

    setattr(mkldnn_ir, _CREATE, prepared)
