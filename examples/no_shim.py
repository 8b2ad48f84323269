"""Ops that AOTInductor's C shim does not have: they run through libtorch's proxy executor."""

import torch
from torch import nn


class LeastSquares(nn.Module):
    """Solves a x = b; returns the singular values of a as well."""

    def forward(self, a, b):
        return torch.linalg.solve(a, b), torch.linalg.svdvals(a)


def model():
    """Fixed sizes."""
    torch.manual_seed(0)
    return LeastSquares().eval(), (torch.randn(4, 4) + 4 * torch.eye(4), torch.randn(4, 2))
