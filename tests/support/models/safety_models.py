"""Models for tests of what must never happen: memory lost, and indices that leave their tensors."""

import torch
from torch import nn


class Allocating(nn.Module):
    """Ops that the runtime serves and that allocate, some of them outputs of sizes that only values tell."""

    def forward(self, x, index):
        values, order = torch.sort(x, stable=True)
        largest, places = torch.topk(x, 3)
        where = torch.nonzero(x > 0)
        chosen = torch.masked_select(x, x > 0)
        joined = torch.cat([chosen, chosen])
        reduced = x.index_reduce(0, index, x[index], "mean")
        bags = nn.functional.embedding_bag(index, x, torch.zeros(1, dtype=torch.int64), mode="max")
        return values, order, largest, places, where, chosen, joined, x.cumsum(1), reduced, bags


def model():
    """Fixed sizes; what depends on values still differs from call to call."""
    torch.manual_seed(0)
    return Allocating().eval(), (torch.randn(4, 6), torch.tensor([0, 2, 1, 3])), None


class Indexing(nn.Module):
    """Every way to read or write where indices say, each with indices of its own."""

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(7, 5)

    def forward(self, x, source, indices):
        (embedding, narrow, gather, select, item, put, scatter, add, reduce) = indices[:9]
        (index_add, index_copy, index_fill, index_reduce, take, take_along, bag, loss) = indices[9:]
        return (
            self.table(embedding),
            self.table(narrow),
            torch.gather(x, 1, gather),
            torch.index_select(x, 0, select),
            x[item],
            x.index_put((put,), source),
            x.scatter(0, scatter, source),
            x.scatter_add(0, add, source),
            x.scatter_reduce(0, reduce, source, "amax"),
            x.index_add(0, index_add, source),
            x.index_copy(0, index_copy, source),
            x.index_fill(0, index_fill, 2.0),
            x.index_reduce(0, index_reduce, source, "prod"),
            torch.take(x, take),
            torch.take_along_dim(x, take_along, 1),
            nn.functional.embedding_bag(bag, self.table.weight, mode="sum"),
            nn.functional.nll_loss(x, loss, reduction="none"),
        )


def indexing():
    """Six rows of five; what is written comes in three rows."""
    torch.manual_seed(0)
    rows, columns = [torch.randint(0, 6, (3, 5)) for _ in range(3)], [torch.randint(0, 5, (6, n)) for n in (2, 3)]
    indices = [
        torch.tensor([0, 3, 6]),
        torch.tensor([1, 2], dtype=torch.int32),
        columns[0],
        torch.tensor([0, 5]),
        torch.tensor([4, 1]),
        torch.tensor([0, 2, 1]),
        *rows,
        torch.tensor([0, 5, 2]),
        torch.tensor([0, 1, 2]),
        torch.tensor([3]),
        torch.tensor([2, 2, 1]),
        torch.tensor([0, 29, 3]),
        columns[1],
        torch.tensor([[0, 6, 2]]),
        torch.tensor([0, 1, 2, 3, 4, 0]),
    ]
    return Indexing().eval(), (torch.randn(6, 5), torch.randn(3, 5), indices), None


class Parallel(nn.Module):
    """Loops that are long enough for several threads, one of which checks indices, and a sum over all."""

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(100, 2048)

    def forward(self, x, index):
        y = torch.relu(x) * 2 + self.table(index)
        return torch.softmax(y, -1), (y * y).sum()


def parallel():
    """Twice as much as one thread is given."""
    torch.manual_seed(0)
    return Parallel().eval(), (torch.randn(256, 2048), torch.randint(0, 100, (256,))), None


class Scattering(nn.Module):
    """What code of plain PyTorch calls without looking at whether it failed."""

    def forward(self, x, index, source):
        return x.scatter_add(0, index, source) * 2


def scattering():
    """Six rows of five; three are added."""
    return Scattering().eval(), (torch.ones(6, 5), torch.randint(0, 6, (3, 5)), torch.ones(3, 5))
