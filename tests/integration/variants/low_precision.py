"""A layer that multiplies bfloat16: AMX has instructions for it."""

from __future__ import annotations

from typing import Any

import torch


def model() -> tuple[Any, ...]:
    torch.manual_seed(0)
    inputs = (torch.randn(32, 64, dtype=torch.bfloat16),)
    rows = torch.export.Dim("rows", min=1, max=1 << 20)
    return torch.nn.Linear(64, 128, dtype=torch.bfloat16).eval(), inputs, ({0: rows},)
