"""A model of bfloat16 whose weights oneDNN packs at export, as `packed_models` has it of float32."""

import torch
from torch import nn


class Halves(nn.Module):
    """Convolutions of an odd number of channels, of several taps and in groups; two linear layers."""

    def __init__(self):
        super().__init__()
        self.odd, self.taps = nn.Conv2d(3, 128, 3), nn.Conv2d(128, 256, 3)
        self.groups = nn.Conv2d(256, 256, 3, groups=8)
        self.wide, self.last = nn.Linear(256, 1007), nn.Linear(1007, 2000)

    def forward(self, x):
        y = torch.relu(self.taps(torch.relu(self.odd(x.bfloat16()))))
        y = torch.relu(self.groups(y)).mean((2, 3))
        return self.last(torch.relu(self.wide(y))).float()


def model():
    torch.manual_seed(0)
    return Halves().eval().bfloat16(), (torch.randn(2, 3, 10, 10),), None
