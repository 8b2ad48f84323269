"""Run by the backend's Python: exports a model the way PyTorch's own documentation does, into the folder given."""

import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn


class Plain(nn.Module):
    """A linear layer with weights inside the library, and an op of its own."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(8, 4)

    def forward(self, x, y):
        return self.linear(x) + y, torch.special.i1(x)


def main(folder):
    torch.manual_seed(0)
    model = Plain().eval()
    x, y = torch.randn(3, 8), torch.randn(4)
    batch = torch.export.Dim("batch", min=2, max=100)
    with torch.no_grad():
        program = torch.export.export(model, (x, y), dynamic_shapes=({0: batch}, None))
        torch._inductor.aoti_compile_and_package(program, package_path=str(folder / "new.pt2"))
        outputs = model(x, y)
    np.savez(folder / "plain.npz", x=x.numpy(), y=y.numpy(), o0=outputs[0].numpy(), o1=outputs[1].numpy())
    (folder / "new.pt2").rename(folder / "plain.pt2")


main(Path(sys.argv[1]))
