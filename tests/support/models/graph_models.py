"""Modules whose graphs torch.export gets wrong, or thinks worse of than they are."""

import torch
import torch.ao.quantization.fx._decomposed
from torch import nn

Dim = torch.export.Dim


class Lengths(nn.Module):
    """Lengths that torch takes for fixed, or cannot divide; outputs whose nesting has no name; few ops for a dtype."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(2, 3, 3, padding=1)
        self.pool = nn.MaxPool1d(3, 2, 1)

    def forward(self, x, counts):
        longer = nn.functional.interpolate(self.conv(x), scale_factor=1.5, mode="linear")
        return self.pool(x).max(-1), longer, x[..., : x.shape[-1] - x.shape[-1] // 2], counts


def lengths():
    torch.manual_seed(0)
    sizes = ({2: Dim.DYNAMIC(min=4, max=400)}, {0: Dim("n", max=64)})
    return Lengths().eval(), (torch.randn(1, 2, 41), torch.arange(5).to(torch.uint16)), sizes


class Before(nn.Module):
    """Returns what its buffers held before the call, and what they hold after it."""

    def __init__(self):
        super().__init__()
        for name in ("copied", "assigned", "seen", "whole"):
            self.register_buffer(name, torch.zeros(4, 2))
        self.register_buffer("expanded", torch.ones(1, 2).expand(4, 2))

    def forward(self, x):
        copied = self.copied.clone()
        self.copied.add_(x)
        old, self.assigned = self.assigned.clone(), torch.cat([self.assigned[1:], x])
        seen = self.seen.clone()[1]
        self.seen[1] += x[0]
        self.whole += x
        return copied, old, seen, self.copied, self.assigned, self.seen[1], self.whole, self.expanded * x


def before():
    return Before().eval(), (torch.ones(1, 2),)


class IndexedComplex(nn.Module):
    """Complex values by an index that is transposed, and what follows from where they are expected to lie."""

    def forward(self, x, i):
        one, two = x[:, i.t()], x.t()[i.t(), :]
        three = x[i.t() % x.shape[0], i.t()]
        return one, torch.view_as_real(one) * 2, torch.view_as_real(two) + 1, two.reshape(-1), three.real.contiguous()


class IndexedAlone(nn.Module):
    """Complex values of a dim of size 1, whose stride is another one than C order's."""

    def forward(self, x, y, i):
        one, two = x.permute(2, 0, 1)[:, i], (y * 2).permute(2, 1, 3, 0)[:, i]
        return torch.view_as_real(one) * 2, one.real.contiguous(), torch.view_as_real(two) + 1


def indexed_alone():
    torch.manual_seed(0)
    shapes = ((4, 5, 1), (2, 4, 1, 3))
    return IndexedAlone().eval(), (
        *(torch.randn(shape, dtype=torch.complex64) for shape in shapes),
        torch.tensor([1, 0, 1]),
    )


def indexed_complex():
    torch.manual_seed(0)
    inputs = (torch.randn(5, 7, dtype=torch.complex64), torch.randint(0, 7, (3, 4)))
    return IndexedComplex().eval(), inputs, (None, {0: Dim("rows", min=1, max=64)})


class Bytes(nn.Module):
    """A linear layer of PT2E's static int8, of rows that `choose` takes."""

    def __init__(self, choose):
        super().__init__()
        self.choose = choose
        self.register_buffer("scales", torch.ones(16))
        self.register_buffer("zeros", torch.zeros(16, dtype=torch.int64))
        self.register_buffer("weight", torch.ones(16, 8, dtype=torch.int8))

    def forward(self, x):
        ops = torch.ops.quantized_decomposed
        x = ops.quantize_per_tensor(self.choose(x), 0.04, 117, 0, 255, torch.uint8)
        x = ops.dequantize_per_tensor(x, 0.04, 117, 0, 255, torch.uint8)
        weight = ops.dequantize_per_channel(self.weight, self.scales, self.zeros, 0, -127, 127, torch.int8)
        return self.product(x, weight)

    def product(self, x, weight):
        return nn.functional.linear(x, weight)


class OneProduct(Bytes):
    """Of vectors: the weight is not a matrix, nor has the result a dim."""

    def product(self, x, weight):
        scale = (0.5, 0, -127, 127, torch.int8)
        return torch.matmul(x, torch.ops.quantized_decomposed.dequantize_per_tensor(self.weight[0], *scale))


def few_bytes():
    return Bytes(lambda x: x).eval(), (torch.randn(5, 8),), ({0: Dim("n", min=1, max=64)},)


def one_row_of_bytes():
    return Bytes(lambda x: x[0]).eval(), (torch.randn(5, 8),)


def bytes_of_chosen_rows():
    return Bytes(lambda x: x[x[:, 0] > 0]).eval(), (torch.randn(5, 8),)


def one_product_of_bytes():
    return OneProduct(lambda x: x[0]).eval(), (torch.randn(5, 8),)


def of(function, *inputs, sizes=None, **buffers):
    """A module that calls a function of itself and of inputs."""
    module = type("Module", (nn.Module,), {"forward": function})()
    for name, buffer in buffers.items():
        if isinstance(buffer, nn.Parameter):
            module.register_parameter(name, buffer)
        else:
            module.register_buffer(name, buffer)
    return module.eval(), inputs, sizes


class Within(nn.Module):
    def __init__(self, module):
        super().__init__()
        self.inner = module

    def forward(self, x):
        return self.inner(x)


def pool_of_one_dim():
    return nn.MaxPool1d(2).eval(), (torch.randn(1, 2, 41),), ({2: Dim("length", min=8, max=99)},)


def spectrum():
    def forward(self, x):
        return torch.stft(x, 8, return_complex=True, window=torch.ones(8)).abs()

    return of(forward, torch.randn(2, 41), sizes=({1: Dim("length", min=8, max=400)},))


def pooled_pyramid():
    sizes = ({2: Dim("h", min=8, max=400), 3: Dim("w", min=8, max=400)},)
    return nn.MaxPool2d(3, 2, 1, ceil_mode=True).eval(), (torch.randn(1, 2, 13, 17),), sizes


def padded_to_four():
    def forward(self, x):
        return nn.functional.pad(x, (0, (-x.shape[-1]) % 4)).view(2, -1, 4)

    return of(forward, torch.randn(2, 41), sizes=({1: Dim("length", min=8, max=400)},))


def by_tensor():
    x = torch.randn(3, 4)
    shapes = torch.export.ShapesCollection()
    shapes[x] = {0: Dim("rows", max=64)}
    return of(lambda self, x: x * 2, x, sizes=shapes)


def by_example():
    shapes = torch.export.AdditionalInputs()
    shapes.add((torch.randn(7, 4),))
    return of(lambda self, x: x * 2, torch.randn(3, 4), sizes=shapes)


def of_other_tensors():
    x, other = torch.randn(3, 4), torch.randn(3, 4)
    shapes = torch.export.ShapesCollection()
    shapes[other] = {0: Dim("rows", max=64)}
    return of(lambda self, x: x * 2, x, sizes=shapes)


def rest():
    sizes = (({0: Dim("n", max=9)}, {0: Dim("m", max=9)}),)
    return of(lambda self, *each: torch.cat(each), torch.ones(3), torch.ones(4), sizes=sizes)


def absent_dim():
    return of(lambda self, x: x * 2, torch.randn(3, 4), sizes=({2: Dim("n")},))


def first_row():
    return of(lambda self, x: torch.cat([x, x[:1]]), torch.randn(5, 4), sizes=({0: Dim("n", max=64)},))


def row_of_some():
    return of(lambda self, x: x[0] * 2, torch.randn(5, 4), sizes=({0: Dim("n", max=64)},))


def two_of_each():
    sizes = ({0: Dim("n", max=64)}, {1: Dim("m", max=32)})
    return of(lambda self, x, y: (x[-2:] + 1, y * 2), torch.randn(5, 4), torch.randn(3, 8), sizes=sizes)


def attention():
    def forward(self, x):
        x = x.transpose(0, 1).unsqueeze(1)
        return torch.nn.functional.scaled_dot_product_attention(x, x, x)

    return of(forward, torch.randn(5, 2, 8), sizes=({0: Dim("tokens", max=64), 1: Dim("rows", max=64)},))


@torch.library.custom_op("graph_models::of_some", mutates_args=())
def of_some(x: torch.Tensor) -> torch.Tensor:
    return x * 2


@of_some.register_fake
def _(x: torch.Tensor) -> torch.Tensor:
    if x.shape[0] == 0:
        raise RuntimeError("no rows")
    return torch.empty_like(x)


def attention_to_what_is_not_known():
    def forward(self, x):
        x = of_some(x).transpose(0, 1).unsqueeze(1)
        return torch.nn.functional.scaled_dot_product_attention(x, x, x)

    return of(forward, torch.randn(5, 2, 8), sizes=({0: Dim("tokens", max=64)},))


def recurrent():
    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.LSTM(4, 8, batch_first=True)

        def forward(self, x):
            return self.layer(x)[0]

    return Model().eval(), (torch.randn(5, 3, 4),), ({0: Dim("rows", max=64)},)


def of_any_size():
    def forward(self, x, y):
        return x.softmax(-1), x.sum(0), x.cumsum(0), x.std(0), x.repeat(2, 1), x @ y, torch.cat([x, x])

    sizes = ({0: Dim("n", max=64)}, {1: Dim("m", max=64)})
    return of(forward, torch.randn(5, 4), torch.randn(4, 6), sizes=sizes)


def copied_within():
    def forward(self, x):
        before = self.a * 1
        self.a.copy_(self.b)
        return before + x

    return of(forward, torch.ones(3), a=torch.zeros(3), b=torch.ones(3))


def out_of_range():
    return of(lambda self, x: x * 2, torch.randn(3, 4), sizes=({0: Dim("n", min=4, max=9)},))


def no_dim():
    return of(lambda self, x: x * 2, torch.randn(3, 4), sizes=({0: "n"},))


def parameter():
    def forward(self, x):
        with torch.no_grad():
            self.w.add_(x)
        return self.w * 1

    return of(forward, torch.ones(3), w=nn.Parameter(torch.zeros(3)))


def grows():
    def forward(self, x):
        self.h = torch.cat([self.h, x])
        return self.h.sum(0)

    return of(forward, torch.ones(1, 3), h=torch.zeros(1, 3))


def assigned_within():
    def forward(self, x):
        self.h = torch.cat([self.h[1:], x])
        return self.h.sum(0)

    return Within(of(forward, torch.ones(1, 3), h=torch.zeros(2, 3))[0]), (torch.ones(1, 3),)


def returns_old():
    def forward(self, x):
        old, self.h = self.h, self.h + x
        return old[0]

    return of(forward, torch.ones(2, 3), h=torch.zeros(2, 3))


def first_call():
    def forward(self, x):
        if self.h is None:
            self.h = x * 2
        return x + self.h

    return of(forward, torch.ones(3), h=None)


def one_memory():
    memory = torch.zeros(4, 3)

    def forward(self, x):
        self.row.add_(x)
        return self.all * 1

    return of(forward, torch.ones(3), all=memory, row=memory[2])


def plain_counter():
    def forward(self, x):
        self.count += 1
        return x * self.count

    module, inputs, _ = of(forward, torch.ones(3))
    module.count = 0
    return module, inputs


def no_number():
    def forward(self, x):
        return x.nan_to_num(1.0)

    module, inputs, _ = of(forward, torch.ones(3))
    module.fill = float("nan")
    return module, inputs
