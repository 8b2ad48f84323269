"""Layers that multiply bfloat16: AMX has instructions for it. The second is so large that it is the library's."""

from __future__ import annotations

from typing import Any

import torch


def model() -> tuple[Any, ...]:
    torch.manual_seed(0)
    inputs = (torch.randn(32, 64, dtype=torch.bfloat16),)
    rows = torch.export.Dim("rows", min=1, max=1 << 20)
    layers = torch.nn.Sequential(torch.nn.Linear(64, 128), torch.nn.ReLU(), torch.nn.Linear(128, 128))
    return layers.bfloat16().eval(), inputs, ({0: rows},)
