"""Models that a server must be careful with."""

import torch
from torch import nn


class Looking(nn.Module):
    """Rows of a table, whose indices may be out of range."""

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(7, 5)

    def forward(self, ids):
        return self.table(ids)


def looking():
    """Any batch of 2 to 64, three indices a row."""
    torch.manual_seed(0)
    batch = torch.export.Dim("batch", min=2, max=64)
    return Looking().eval(), (torch.randint(0, 7, (4, 3)),), ({0: batch},)


class Sharing(nn.Module):
    """Shares of a whole, which is all rows together: rows must not run with other requests' rows."""

    def forward(self, x):
        return torch.softmax(x, 0)


def sharing():
    """Any batch of 2 to 64."""
    torch.manual_seed(0)
    batch = torch.export.Dim("batch", min=2, max=64)
    return Sharing().eval(), (torch.randn(4, 3),), ({0: batch},)
