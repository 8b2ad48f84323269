"""A model whose weights oneDNN packs at export: sizes are fixed, and large enough that no product is generated code."""

import torch
from torch import nn


class Packed(nn.Module):
    """Convolutions of several taps, of one, and in groups; a linear layer whose features are no multiple of a block."""

    def __init__(self):
        super().__init__()
        self.taps = nn.Conv2d(16, 32, 3, padding=1)
        self.one = nn.Conv2d(32, 64, 1)
        self.groups = nn.Conv2d(64, 64, 3, groups=8)
        self.linear = nn.Linear(64, 1003)

    def forward(self, x):
        y = self.groups(torch.relu(self.one(torch.relu(self.taps(x)))))
        return self.linear(y.flatten(2).transpose(1, 2)), y


def model():
    torch.manual_seed(0)
    return Packed().eval(), (torch.randn(2, 16, 10, 10),), None
