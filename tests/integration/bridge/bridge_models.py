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
            (every[-1] * 2).conj(),
            (every[-1] * 2).conj().imag,  # a negation as well, of a conjugation that nobody has read
        )


def model():
    """`rows` may be empty; the example of `columns` is in Fortran order."""
    torch.manual_seed(0)
    every = [torch.arange(3).to(dtype) for dtype in DTYPES[:-1]]
    every.append(torch.tensor([1 + 2j, -3j, 4], dtype=torch.complex128))
    rows = torch.export.Dim("rows", min=0, max=64)
    arguments = (every, torch.tensor(2.0), torch.ones(5, 4), torch.randn(3, 2).t(), torch.randn(4, 3))
    return Everything().eval(), arguments, ([None] * len(every), None, {0: rows}, None, None)


class Sized(nn.Module):
    """Sizes that are guarded, derived, a product, or none at all; and a buffer that changes with every call."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(16, 8)
        self.register_buffer("calls", torch.ones(1))

    def forward(self, six, product, factors, double, more, rows):
        self.calls.add_(1)
        return (
            six.reshape(6, -1) + 1,
            product.reshape(factors.shape) + factors,
            double.reshape(-1, 2).sum(1),
            more * self.calls,
            self.linear(rows),
        )


def sized():
    torch.manual_seed(0)
    dim = torch.export.Dim
    n = dim("n", min=2, max=49)
    inputs = (torch.ones(24), torch.ones(12), torch.ones(3, 4), torch.ones(10), torch.ones(6), torch.ones(4, 16))
    sizes = ({0: dim.DYNAMIC}, {0: dim.DYNAMIC}, {0: dim.DYNAMIC, 1: dim.DYNAMIC}, {0: 2 * n}, {0: n + 1})
    return Sized().eval(), inputs, (*sizes, {0: dim("rows", min=0, max=64)})
