"""Outputs whose size depends on the values: known only after the run."""

import torch
from torch import nn


class Positive(nn.Module):
    """Where x is positive, what it is there, and how often."""

    def forward(self, x):
        where = torch.nonzero(x > 0)
        return where, x[x > 0], (x > 0).sum()


def model():
    """Any length of 1 to 1000."""
    torch.manual_seed(0)
    length = torch.export.Dim("length", min=1, max=1000)
    return Positive().eval(), (torch.randn(20),), ({0: length},)
