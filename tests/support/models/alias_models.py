"""Outputs that repeat, and outputs that are inputs or constants, or views of either."""

import torch
from torch import nn


class Aliases(nn.Module):
    """Returns one tensor in several places, in each way that one can be there twice."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.arange(6.0).reshape(2, 3))
        self.register_buffer("complex", torch.tensor([1 + 2j, 3 - 4j], dtype=torch.complex64))

    def forward(self, x, y):
        square = x * x
        return (
            square,
            square.contiguous(),
            square.t(),
            square[1:],
            square[:0],
            x,
            x,
            x.t(),
            x[:, 1],
            y,
            self.weight,
            self.weight,
            self.weight.t(),
            self.weight[1],
            torch.view_as_real(self.complex),
            torch.view_as_real(self.complex)[:, 1],
            square,
        )


class WithConjugates(Aliases):
    """The same with what eager PyTorch only marks as to be conjugated, and as to be negated."""

    def forward(self, x, y):
        *others, square = super().forward(x, y)
        return *others, y.conj(), y.conj().imag, square


class WithNone(Aliases):
    """The same beside a None, which plain PyTorch lists as an output."""

    def forward(self, x, y):
        first, second, *others = super().forward(x, y)
        return first, None, second, *others


def inputs():
    return torch.arange(6.0).reshape(2, 3) - 2, torch.tensor([1 + 1j, 2], dtype=torch.complex64)


def model():
    return WithConjugates().eval(), inputs()


def with_none():
    return WithNone().eval(), inputs()
