"""Modules, inputs and outputs of kinds that people have, and that torch.export stumbles over or passes over."""

import collections
import dataclasses
import mmap
import random

import torch
from graph_models import of
from torch import nn

Dim = torch.export.Dim
x = torch.arange(3.0)


@dataclasses.dataclass
class Scores:
    """Not registered with torch.utils._pytree."""

    logits: torch.Tensor
    hidden: object


class Named(collections.OrderedDict):
    """As transformers' ModelOutput: a dict that is registered without names of its parts."""


torch.utils._pytree.register_pytree_node(
    Named,
    lambda d: (list(d.values()), list(d)),
    lambda values, keys: Named(zip(keys, values, strict=True)),
    serialized_type_name="odd.Named",
)


class Bag:
    """Registered with neither."""

    def __init__(self, *parts):
        self.parts = parts


torch.utils._pytree.register_pytree_node(Bag, lambda b: (list(b.parts), None), lambda parts, _: Bag(*parts))


@dataclasses.dataclass
class Batch:
    """Registered, and with a name."""

    ids: torch.Tensor
    mask: torch.Tensor


torch.utils._pytree.register_dataclass(Batch, serialized_type_name="odd.Batch")
Two = collections.namedtuple("Two", "first second")


# ---- outputs


def dataclass():
    return of(lambda self, x: Scores(x + 1, {"all": (x * 2, None)}), x)


def without_names():
    return of(lambda self, x: Named(logits=x + 1, rest=(x, x * 2)), x)


def within_bag():
    return of(lambda self, x: (Bag(x + 1, x * 2), collections.deque([x])), x)


def nothing():
    return of(lambda self, x: (), x)


def a_set():
    return of(lambda self, x: {x + 1}, x)


def a_number():
    return of(lambda self, x: x.shape[0], x)


def beside_an_object():
    return of(lambda self, x: {"y": x + 1, "cache": object()}, x)


def quantised():
    return of(lambda self, x: torch.quantize_per_tensor(x, 0.1, 0, torch.qint8), x)


class Spectrum(nn.Module):
    """A complex output beside a convolution, for which Inductor chooses how tensors lie."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x):
        y = self.conv(x)
        return torch.complex(y, -y), y


def spectrum():
    torch.manual_seed(0)
    return Spectrum().eval(), (torch.randn(1, 3, 8, 8),)


# ---- inputs


def unregistered():
    return of(lambda self, scores: scores.logits + 1, Scores(x, None))


def bag():
    return of(lambda self, bag: bag.parts[0] + 1, Bag(x))


def user_dict():
    return of(lambda self, d: d["a"] + 1, collections.UserDict(a=x))


def nested_tensor():
    return of(lambda self, x: x * 2, torch.nested.nested_tensor([x, x[:2]]))


def meta():
    return of(lambda self, x: x * 2, torch.empty(3, device="meta"))


def conjugate():
    return of(lambda self, x: x * 2, torch.complex(x, x).conj())


def appended():
    """The module puts more into the caller's list."""

    def forward(self, xs):
        xs.append(xs[0] * 2)
        return xs[-1]

    return of(forward, [x])


def no_tensor():
    return of(lambda self, k: self.w @ self.w.mT * k, 3, w=torch.arange(6.0).reshape(2, 3))


class Tagged(torch.Tensor):
    """As those of torchvision."""


def subclass():
    return of(lambda self, x: x * 2, x.as_subclass(Tagged))


def share_memory():
    def forward(self, x, y):
        x.add_(1)
        return x - y

    return of(forward, x, x)


# ---- sizes


def keywords():
    def forward(self, x, **more):
        return x + more["b"]

    module, _, _ = of(forward)
    n = Dim("n", max=64)
    return module, {"x": x, "b": x}, {"x": {0: n}, "b": {0: n}}


def no_keywords():
    return _with_buffer(of(lambda self, x, **more: x + self.h[0], x, sizes={"x": {0: Dim("n", max=9)}}))


def some_named():
    return of(lambda self, x, y: (x * 2, y * 2), x, x, sizes={"y": {0: Dim("n", max=9)}})


def rest_by_position():
    n = Dim("n", max=9)
    return of(lambda self, *each: torch.stack(each), x, x, sizes=({0: n}, {0: n}))


def of_a_dataclass():
    sizes = ({"ids": {0: Dim("n", max=9)}},)
    return of(lambda self, batch: (batch.ids * 2, batch.mask), Batch(x, x), sizes=sizes)


def of_a_named_tuple():
    return of(lambda self, two: two.first * 2 + two.second.sum(), Two(x, x), sizes=(Two({0: Dim("n", max=9)}, None),))


def by_number():
    return of(lambda self, d: d[7] * 2, {7: x}, sizes=({7: {0: Dim("n", max=9)}},))


def of_no_input():
    return of(lambda self, x: x * 2, x, sizes={"y": {0: Dim("n")}})


def of_one_of_two():
    return of(lambda self, x, y: x + y, x, x, sizes=({0: Dim("n")},))


def of_the_lone_input():
    return of(lambda self, x: x * 2, x, sizes={0: Dim("n")})


def bare():
    return of(lambda self, x: x * 2, x, sizes=Dim("n"))


def less_first():
    m = Dim("m", min=4, max=64)
    return of(lambda self, x, y: (x * 2, y + 1), torch.ones(5), torch.ones(7), sizes=({0: m - 2}, {0: m}))


def less_second():
    m = Dim("m", min=4, max=64)
    return of(lambda self, x, y: (x * 2, y[2:] + x), torch.ones(7), torch.ones(9), sizes=({0: m - 2}, {0: m}))


def less_both():
    m = Dim("m", min=4, max=64)
    return of(lambda self, x, y: (x * 2, y + 1), torch.ones(5), torch.ones(6), sizes=({0: m - 2}, {0: m - 1}))


def of_a_number():
    return of(lambda self, x, k: x * k, x, 2, sizes=(None, {0: Dim("n")}))


def one_row():
    return of(lambda self, x: x * 2, torch.ones(1, 3), sizes=({0: Dim("n", min=1, max=9)},))


def one_row_of_any():
    return of(lambda self, x: x * 2, torch.ones(1, 3), sizes=({0: Dim.DYNAMIC},))


def up_to_a_value():
    return of(lambda self, x, n: (x[: n.item()] * 2, x[n.item() :] + 1, x[-1:]), torch.arange(9.0), torch.tensor(4))


# ---- modules


def lazy():
    return nn.Sequential(nn.LazyLinear(3)).eval(), (x,)


def on_meta():
    return nn.Linear(3, 2, device="meta").eval(), (x,)


def compiled():
    return torch.compile(nn.Linear(3, 2).eval()), (x,), {"input": None}


def parallel():
    return nn.DataParallel(nn.Linear(3, 2)).eval(), (x,)


def made_in_inference_mode():
    with torch.inference_mode():
        module = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    return module.eval(), (x[None],)


def packed():
    return torch.ao.quantization.quantize_dynamic(nn.Sequential(nn.Linear(3, 2)).eval(), {nn.Linear}), (x[None],)


def scripted_part():
    return nn.Sequential(torch.jit.script(nn.Linear(3, 2)), nn.ReLU()).eval(), (x,)


class OfFloats(nn.Module):
    """Written to be quantised, and not quantised."""

    def __init__(self):
        super().__init__()
        self.sum = torch.ao.nn.quantized.FloatFunctional()

    def forward(self, x):
        return self.sum.add(x, x)


def of_floats():
    return OfFloats().eval(), (x,)


def traced_part():
    traced = torch.jit.trace(nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)).eval(), x[None])
    return nn.Sequential(traced, nn.ReLU()).eval(), (x[None],)


def seeds_itself():
    def forward(self, x):
        torch.manual_seed(5)
        return x + torch.rand(3)

    return of(forward, x)


def builtin():
    module, inputs, _ = of(None, x)
    module.forward = torch.relu
    return module, inputs


def sparse_weight():
    return of(lambda self, x: self.w @ x, x, w=torch.eye(3).to_sparse_csr())


def shuffled():
    return of(lambda self, x: (x[torch.randperm(3)], x * 2), x)


def around():
    """Far from 0, and so wide that nothing else would do."""

    def forward(self, x, std):
        each = torch.normal(x, 1.0), torch.normal(5.0, std), torch.normal(x, std), torch.normal(5.0, 2.0, (4000,))
        each += (x.new_empty(4000).normal_(5.0, 2.0),)
        return torch.stack([y.mean().round() for y in each]), torch.stack([y.std().round() for y in each]), each[0]

    return of(forward, torch.full((4000,), 5.0), torch.full((4000,), 2.0))


def draws_in_vain():
    """As layers do that are left out in training alone."""

    def forward(self, x):
        torch.rand([])
        return x * 2

    return of(forward, x)


def draws_in_place():
    def forward(self, x):
        y = x.clone()
        y.view(3).bernoulli_(0.5)
        return y

    return of(forward, x)


def remembers_noise():
    """Random numbers decide what later calls return."""

    def forward(self, x):
        y = x + self.h
        self.h.copy_(torch.rand(3))
        return y, x * 2

    return _with_buffer(of(forward, x))


def part_in_training():
    module = nn.Sequential(nn.Dropout(0.0), nn.BatchNorm1d(3)).eval()
    module[0].train()
    return module, (x[None],)


# ---- what a call leaves behind


def history():
    def forward(self, x):
        self.seen.append(x)
        return torch.cat(self.seen)

    return _with(of(forward, x), seen=[])


def within_a_list():
    def forward(self, x):
        before = self.layers[0].get("k", x)
        self.layers[0]["k"] = before + x
        return self.layers[0]["k"]

    return _with(of(forward, x), layers=[{}])


def first_of_many():
    def forward(self, x):
        self.k = x * 2 if self.k is None else self.k + x
        return self.k + x

    return _with(of(forward, x), k=None)


def absent_at_first():
    def forward(self, x):
        self.k = getattr(self, "k", 0) + x
        return self.k

    return of(forward, x)


def grows():
    def forward(self, x):
        self.h.data = torch.cat([self.h, x])
        return self.h * 1

    return _with_buffer(of(forward, x))


def resized():
    def forward(self, x):
        self.h.resize_(6)
        self.h[3:] = x
        return self.h * 1

    return _with_buffer(of(forward, x))


def other_memory():
    def forward(self, x):
        self.h.data = self.h + x
        return self.h * 1

    return _with_buffer(of(forward, x))


def of_nobody():
    """It changes a tensor that belongs to no module."""
    total = torch.zeros(3)

    def forward(self, x):
        total.add_(x)
        return total * 1

    return of(forward, x)


def outside():
    return of(lambda self, x: x * random.random(), x)  # noqa: S311


def holds_what_cannot_be_written():
    """Tensors of other layouts, and one in memory that can be read only, as that of a file may be."""
    read_only = torch.frombuffer(mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ), dtype=torch.float32, count=3)
    nested = torch.nested.nested_tensor([x, x[:2]])
    others = [torch.eye(3).to_sparse(), torch.eye(3).to_sparse_csr(), torch.eye(3).to_mkldnn(), nested]
    return _with(of(lambda self, x: x + self.table, x), table=read_only, others=others)


def remembers_in_vain():
    """What it remembers, no later call reads."""

    def forward(self, x):
        self.calls += 1
        self.weights = x.softmax(0)
        self.features = [self.weights * 2]
        if self.table is None:
            self.table = torch.arange(3.0)
        return self.features[0] + self.table

    return _with(of(forward, x), calls=0, weights=None, features=[], table=None)


def _with(subject, **attributes):
    vars(subject[0]).update(attributes)
    return subject


def _with_buffer(subject):
    subject[0].register_buffer("h", torch.ones(3))
    return subject
