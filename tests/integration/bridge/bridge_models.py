"""Models that exercise the bridge: as many features as fit into one export, since each takes half a minute."""

import torch
from torch import nn

DTYPES = (
    torch.bool,
    torch.uint8,
    torch.int8,
    torch.int16,
    torch.int32,
    torch.int64,
    torch.uint16,
    torch.uint32,
    torch.uint64,
    torch.float16,
    torch.bfloat16,
    torch.float32,
    torch.float64,
    torch.complex64,
    torch.complex128,
)


class Everything(nn.Module):
    """All dtypes in and out, sizes zero and none, views of inputs and of a constant, an order other than C."""

    def __init__(self):
        super().__init__()
        self.register_buffer("table", torch.arange(12, dtype=torch.float32).reshape(3, 4))

    def forward(self, every, scalar, rows, columns, other):
        doubled = [torch.cat([value, value]) for value in every]
        return (
            *doubled,
            scalar * 2,
            rows * scalar,
            rows.sum(),
            columns * 10 + torch.arange(3, dtype=torch.float32),
            other[1:],
            self.table.t(),
            every[-1].conj(),
            (every[-1] * 2).conj(),  # libtorch's own op leaves this to whoever reads the tensor
        )


def model():
    """`rows` may be empty; the example of `columns` is in Fortran order."""
    torch.manual_seed(0)
    every = [torch.arange(3).to(dtype) for dtype in DTYPES[:-1]]
    every.append(torch.tensor([1 + 2j, -3j, 4], dtype=torch.complex128))
    rows = torch.export.Dim("rows", min=0, max=64)
    arguments = (every, torch.tensor(2.0), torch.ones(5, 4), torch.randn(3, 2).t(), torch.randn(4, 3))
    return Everything().eval(), arguments, ([None] * len(every), None, {0: rows}, None, None)
