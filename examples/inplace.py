"""A model that writes into an input, returns it, and returns a view of a constant."""

import torch
from torch import nn


class Accumulate(nn.Module):
    """Adds x to `state` in place; returns the state, half of x, and the first row of a constant table."""

    def __init__(self):
        super().__init__()
        self.register_buffer("table", torch.arange(12, dtype=torch.float32).reshape(3, 4))

    def forward(self, state, x):
        state.add_(x)
        return state, x / 2, self.table[0]


def model():
    """Fixed sizes."""
    torch.manual_seed(0)
    return Accumulate().eval(), (torch.zeros(4), torch.randn(4))
