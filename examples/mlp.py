"""A small multilayer perceptron with a dynamic batch size: the example of the README.

Try it: `aotpack export examples/mlp.py:model --output mlp.pt2 --verify`.
"""

import torch
from torch import nn


class MLP(nn.Module):
    """64 features in, 10 scores out."""

    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(64, 256)
        self.scores = nn.Linear(256, 10)

    def forward(self, x):
        return self.scores(torch.relu(self.hidden(x)))


def model():
    """Any batch of 1 to 1024."""
    torch.manual_seed(0)
    batch = torch.export.Dim("batch", min=1, max=1024)
    return MLP().eval(), (torch.randn(8, 64),), ({0: batch},)
