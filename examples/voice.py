"""A detector of voice in a stream of sound: chunks go in one after the other, and what it remembers is in buffers.

Each stream is a session: `session = aotrun.load("dist/voice").session()`. The weights are random; the shape is that of
detectors in use.
"""

import torch
from torch import nn

CHUNK, CONTEXT, WINDOW, HIDDEN = 512, 64, 64, 32


class Detector(nn.Module):
    """A bank of filters over windows of a chunk and of the end of the one before, then a recurrent cell."""

    def __init__(self):
        super().__init__()
        self.filters = nn.Linear(WINDOW, 24)
        self.cell = nn.GRUCell(24, HIDDEN)
        self.score = nn.Linear(HIDDEN, 1)
        self.register_buffer("context", torch.zeros(1, CONTEXT))
        self.register_buffer("state", torch.zeros(1, HIDDEN))

    def forward(self, chunk):
        """How likely there is voice in a chunk of shape (1, 512)."""
        sound = torch.cat([self.context, chunk], 1)
        windows = sound.view(-1, WINDOW)
        state = self.cell(self.filters(windows).abs().log1p().mean(0, keepdim=True), self.state)
        self.context.copy_(chunk[:, -CONTEXT:])
        self.state.copy_(state)
        return torch.sigmoid(self.score(state))


def model():
    """Fixed sizes."""
    torch.manual_seed(0)
    return Detector().eval(), (torch.randn(1, CHUNK),)
