"""A small convolutional network: batch norm, residual connections, a dynamic batch size."""

import torch
from torch import nn


class Block(nn.Module):
    """Two convolutions around a shortcut."""

    def __init__(self, channels):
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.first_norm = nn.BatchNorm2d(channels)
        self.second = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.second_norm = nn.BatchNorm2d(channels)

    def forward(self, x):
        y = torch.relu(self.first_norm(self.first(x)))
        return torch.relu(x + self.second_norm(self.second(y)))


class ConvNet(nn.Module):
    """Images of 3 channels in, 10 scores out."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, stride=2, padding=1)
        self.blocks = nn.Sequential(Block(16), nn.MaxPool2d(2), Block(16))
        self.scores = nn.Linear(16, 10)

    def forward(self, image):
        features = self.blocks(self.stem(image))
        return self.scores(features.mean(dim=(2, 3)))


def model():
    """Any batch of 1 to 64 images of 64 x 64 pixels."""
    torch.manual_seed(0)
    batch = torch.export.Dim("batch", min=1, max=64)
    return ConvNet().eval(), (torch.randn(2, 3, 64, 64),), ({0: batch},)
