"""Run by the backend's Python: exports a model the way PyTorch's own documentation does, into the folder given."""

import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn


class Plain(nn.Module):
    """A linear layer with weights in the library, an op without a C shim, and one that leaves work to its readers."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(8, 4)

    def forward(self, x, y):
        return self.linear(x) + y, torch.special.i1(x), torch.complex(x, x).conj()


def main(folder):
    torch.manual_seed(0)
    model = Plain().eval()
    x, y = torch.randn(3, 8), torch.randn(4)
    batch = torch.export.Dim("batch", min=2, max=100)
    with torch.no_grad():
        program = torch.export.export(model, (x, y), dynamic_shapes=({0: batch}, None))
        torch._inductor.aoti_compile_and_package(program, package_path=str(folder / "new.pt2"))
        outputs = model(x, y)
    expected = {f"o{index}": output.resolve_conj().numpy() for index, output in enumerate(outputs)}
    np.savez(folder / "plain.npz", x=x.numpy(), y=y.numpy(), **expected)
    (folder / "new.pt2").rename(folder / "plain.pt2")


main(Path(sys.argv[1]))
