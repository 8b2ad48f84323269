"""Convolutions of all forms that oneDNN packs weights for."""

from __future__ import annotations

import torch
from torch import nn


class Convolutions(nn.Module):
    """Plain, pointwise, strided, dilated, in groups, of single channels, transposed, and of three dims."""

    def __init__(self) -> None:
        super().__init__()
        self.plain = nn.Conv2d(3, 128, 3, padding=1)
        self.pointwise = nn.Conv2d(128, 96, 1)
        self.of_threads = nn.Conv2d(128, 512, 1)
        self.strided = nn.Conv2d(96, 40, (3, 5), stride=(2, 1), padding=(1, 2))
        self.dilated = nn.Conv2d(40, 64, 3, padding=2, dilation=2)
        self.grouped = nn.Conv2d(64, 48, 3, padding=1, groups=4)
        self.depthwise = nn.Conv2d(48, 48, 3, padding=1, groups=48)
        self.transposed = nn.ConvTranspose2d(48, 24, 3, stride=2, padding=1, output_padding=1, groups=4)
        self.widened = nn.ConvTranspose2d(24, 30, 3, padding=1)
        self.spatial = nn.Conv3d(6, 20, (1, 3, 3), padding=(0, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Of images [2, 3, 18, 14], numbers [2, 20, 5, 18, 14]."""
        x = self.plain(x).relu()
        added = self.of_threads(x[:1, :, :14]).mean()  # of 14 x 14: its order follows the number of threads
        x = self.strided(self.pointwise(x).relu())
        x = self.transposed(self.depthwise(self.grouped(self.dilated(x))))[:, :, :18, :14]
        out: torch.Tensor = self.spatial(self.widened(x).reshape(2, 6, 5, 18, 14))
        return out + added


def model() -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    """For `aotpack export`."""
    torch.manual_seed(0)
    return Convolutions().eval(), (torch.randn(2, 3, 18, 14),)
