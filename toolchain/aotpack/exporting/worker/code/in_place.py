"""What a layer's result may replace: nothing that lasts longer than a call.

A sum that Inductor fuses into a layer adds to the other operand where that lies, if nobody reads it later. A constant
is read by the next call, which would find what the last one left there; an input is the caller's. Inductor (pytorch
2.13) looks for neither in layers of bytes. Of other layers it asks the same question, which has one answer here.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch._inductor import ir
from torch._inductor.fx_passes import mkldnn_fusion
from torch._inductor.lowering import clone
from torch._inductor.virtualized import V

#: Inductor's questions whether to add in place; else it fuses a sum that goes elsewhere.
_QUESTIONS = ("_can_be_inplace", "_qlinear_binary_can_be_inplace")


def patch_to_keep_what_lasts() -> None:
    """Let no sum that is fused from now on in this process replace an input or a constant."""
    for name in _QUESTIONS:
        asked = getattr(mkldnn_fusion, name, None)
        if asked is not None:
            setattr(mkldnn_fusion, name, functools.partial(_may_be_replaced, asked))


def _may_be_replaced(asked: Callable[[Any], bool], operand: Any) -> bool:
    if not _lasts(operand):
        return asked(operand)
    if operand.get_dtype() not in (torch.uint8, torch.int8):
        return False
    # A convolution of bytes knows sums in place alone: it gets a copy. Who else reads the operand has been written.
    copied = clone(operand)
    copied.realize()
    for name, value in V.graph.graph_inputs.items():
        if value is operand:  # else Inductor takes the input for what is written, and writes it back
            V.graph.graph_inputs[name] = ir.TensorBox(operand.data)
    operand.data = copied.data
    return True


def _lasts(operand: Any) -> bool:
    """Whether a node of Inductor's is an input or a constant, or a view of one."""
    data = operand
    while isinstance(data, (ir.TensorBox, ir.StorageBox, ir.BaseView)):
        data = data.data
    name = data.get_name() if hasattr(data, "get_name") else ""
    return name in V.graph.graph_inputs or name in V.graph.constants
