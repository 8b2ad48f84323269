"""A layer that multiplies bfloat16: AMX has instructions for it."""

from __future__ import annotations

from typing import Any

import torch


def model() -> tuple[Any, ...]:
    torch.manual_seed(0)
    return torch.nn.Linear(64, 128, dtype=torch.bfloat16).eval(), (torch.randn(32, 64, dtype=torch.bfloat16),)
