"""Resemblyzer's speaker encoder: 1.6 s of sound at 16 kHz in, 256 numbers out that are close for the same speaker.

The spectrogram is a part of the model: two products with sines and cosines, and one with the filters of the mel scale.
Whoever calls it needs no library for sound.
"""

import math
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

RATE = 16_000
WINDOW = 25_600
#: Samples of a frame, between two frames; bands of the mel scale.
FRAME, HOP, BANDS = 400, 160, 40
WEIGHTS = Path(__file__).parent / "weights" / "resemblyzer" / "pretrained.pt"


class Speaker(nn.Module):
    """Windows of samples (-1 to 1) in; for each an embedding of length 1 out."""

    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(BANDS, 256, 3, batch_first=True)
        self.linear = nn.Linear(256, 256)
        angles = 2 * math.pi * torch.outer(torch.arange(FRAME), torch.arange(FRAME // 2 + 1)).double() / FRAME
        hann = torch.hann_window(FRAME, dtype=torch.float64)[:, None]
        self.register_buffer("cosines", (hann * angles.cos()).float())
        self.register_buffer("sines", (hann * angles.sin()).float())
        self.register_buffer("bands", mel_bands().float())

    def forward(self, sound):
        padded = functional.pad(sound, (FRAME // 2, FRAME // 2))
        frames = padded.unfold(1, FRAME, HOP)
        power = (frames @ self.cosines).square() + (frames @ self.sines).square()
        _, (hidden, _) = self.lstm(power @ self.bands)
        embedding = torch.relu(self.linear(hidden[-1]))
        return embedding / embedding.norm(dim=1, keepdim=True)


def mel_bands():
    """Triangles between frequencies that are evenly apart on Slaney's mel scale, each of the same area."""

    def hertz(mel):
        linear = mel * 200 / 3
        return torch.where(mel < 15, linear, 1000 * torch.exp((mel - 15) * math.log(6.4) / 27))

    highest = 15 + math.log(RATE / 2 / 1000) * 27 / math.log(6.4)
    edges = hertz(torch.linspace(0, highest, BANDS + 2, dtype=torch.float64))
    bins = torch.linspace(0, RATE / 2, FRAME // 2 + 1, dtype=torch.float64)[:, None]
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    return torch.minimum(rising, falling).clamp_min(0) * 2 / (edges[2:] - edges[:-2])


def model():
    """Any batch of 1 to 256 windows."""
    module = Speaker()
    state = torch.load(WEIGHTS, map_location="cpu", weights_only=True)["model_state"]
    module.load_state_dict(state, strict=False)  # it also has what training needed
    generator = torch.Generator().manual_seed(0)
    sound = 0.1 * torch.randn(2, WINDOW, generator=generator)
    return module.eval(), (sound,), ({0: torch.export.Dim("windows", min=1, max=256)},)
