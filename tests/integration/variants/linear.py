"""A linear layer that oneDNN packs a weight for, and no convolution."""

from __future__ import annotations

import torch
from torch import nn


def model() -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    """For `aotpack export`."""
    torch.manual_seed(0)
    return nn.Linear(64, 1003).eval(), (torch.randn(200, 64),)
