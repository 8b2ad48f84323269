"""Nested keyword inputs, several outputs with names, many dtypes, a zero-dim tensor, a value that is no tensor."""

import torch
from torch import nn


class Multi(nn.Module):
    """Inputs become `batch.ids`, `batch.mask`, `items.0`, `items.1`, `scale`; outputs keep the keys of the dict."""

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(32, 8)

    def forward(self, batch, items, *, scale, steps=1):
        embedded = self.table(batch["ids"]) * batch["mask"].unsqueeze(-1)
        first, second = items
        return {
            "embedded": embedded * scale,
            "counts": batch["mask"].sum(dim=1, dtype=torch.int32),
            "pair": (first.to(torch.bfloat16) * 2, second > 0),
            "spectrum": torch.complex(first, first.cos()),
            "half": first.to(torch.float16) + steps,
            "double": first.to(torch.float64).sum(),
            "nothing": None,
        }


def model():
    """`steps` is an int: its value becomes part of the package."""
    torch.manual_seed(0)
    inputs = {
        "batch": {"ids": torch.randint(0, 32, (2, 5)), "mask": torch.ones(2, 5, dtype=torch.bool)},
        "items": [torch.randn(4), torch.tensor([-1, 0, 1], dtype=torch.int8)],
        "scale": torch.tensor(0.5),
        "steps": 3,
    }
    rows = torch.export.Dim("rows", min=1, max=100)
    dynamic_shapes = {
        "batch": {"ids": {0: rows}, "mask": {0: rows}},
        "items": [None, None],
        "scale": None,
        "steps": None,
    }
    return Multi().eval(), inputs, dynamic_shapes
