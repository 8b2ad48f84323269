"""A layer's result replaces neither an input nor a constant, whatever is added to it."""

from __future__ import annotations

from pathlib import Path

from tests.support.packages.exporting import cached_export

ADDED = """
import torch
from torch import nn

class Places(nn.Module):
    def __init__(self):
        super().__init__()
        self.picture, self.places = nn.Conv2d(4, 16, 3, padding=1), nn.Parameter(torch.randn(1, 16, 8, 8))
        self.row, self.start = nn.Linear(16, 16), nn.Parameter(torch.randn(1, 64, 16))

    def forward(self, x, before):
        x = torch.relu(self.picture(x) + self.places)
        return torch.relu(self.row(x.flatten(2).transpose(1, 2)) + self.start) + before

def model():
    torch.manual_seed(0)
    return Places().eval(), (torch.randn(1, 4, 8, 8), torch.randn(1, 64, 16))
"""


def test_constants_are_the_same_in_the_next_call(backend_venv: Path, tmp_path: Path) -> None:
    """Verified with several calls: a sum in a constant would show in the second. Layers of bytes: test_quantised.py."""
    source = tmp_path / "added.py"
    source.write_text(ADDED)
    cached_export(backend_venv, source)
