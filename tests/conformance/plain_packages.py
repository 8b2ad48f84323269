"""Modules that plain PyTorch compiles and packages, for `make test-pytorch-suite` without a checkout of PyTorch: what
AOTInductor's calling convention and its generated code have in them, a subject each.
"""

import tempfile
import unittest
from pathlib import Path

import torch
from torch import nn

Dim = torch.export.Dim
F = nn.functional


def module(forward, **state):
    """A module of a function of (self, ...), with tensors of its own: parameters or buffers."""

    class Made(nn.Module):
        def __init__(self):
            super().__init__()
            for name, value in state.items():
                if isinstance(value, torch.Tensor) and not isinstance(value, nn.Parameter):
                    self.register_buffer(name, value)
                else:
                    setattr(self, name, value)

    Made.forward = forward
    return Made().eval()


class Plain(unittest.TestCase):
    def check(self, subject, *calls, shapes=None, **options):
        """Compile for the first call's inputs, and let all calls agree with the module."""
        torch.manual_seed(0)
        with torch.no_grad(), tempfile.TemporaryDirectory() as folder:
            program = torch.export.export(
                subject, calls[0], dynamic_shapes=shapes, prefer_deferred_runtime_asserts_over_guards=True
            )
            package = torch._inductor.aoti_compile_and_package(
                program, package_path=str(Path(folder) / "m.pt2"), inductor_configs=options
            )
            compiled = torch._inductor.aoti_load_package(package)
            for inputs in calls:
                given = [each.clone() if isinstance(each, torch.Tensor) else each for each in inputs]
                torch.testing.assert_close(compiled(*inputs), subject(*given), equal_nan=True, check_stride=False)

    # What is returned

    def test_one_output_in_several_places(self):
        def forward(self, x):
            y = x.sin()
            return y, y, y.view(1, *y.shape), y.t(), y[1:]

        self.check(module(forward), (torch.randn(3, 10),))

    def test_inputs_and_constants_and_views_of_them(self):
        def forward(self, x):
            return x, x.t(), self.c, self.c.t(), x + 1, self.c.clone()

        self.check(module(forward, c=torch.randn(3, 2)), (torch.randn(2, 3),))

    def test_none_among_outputs(self):
        self.check(module(lambda self, x: (x + 1, None, x - 1)), (torch.randn(3),))

    def test_no_inputs(self):
        self.check(module(lambda self: self.w @ self.w, w=torch.randn(3, 3)), ())

    def test_a_size_as_output(self):
        self.check(
            module(lambda self, x: (x.shape[0] * 2 + x, x.sum())),
            (torch.randn(4, 2),),
            (torch.randn(7, 2),),
            shapes=({0: Dim("n", min=2)},),
        )

    def test_outputs_of_every_order(self):
        self.check(
            module(lambda self, x: (x.permute(2, 0, 1) * 2, x.expand(2, -1, -1, -1), x.flip(0).transpose(0, 2))),
            (torch.randn(3, 4, 5),),
        )

    def test_zero_dim_and_empty(self):
        self.check(module(lambda self, x, y: (x * 2, y.sum(), y.reshape(-1))), (torch.tensor(3.0), torch.ones(0, 4)))

    # State

    def test_buffers_that_change(self):
        def forward(self, x):
            self.count.add_(1)
            self.seen[1:] = x
            return self.count * x, self.seen.clone()

        self.check(module(forward, count=torch.zeros(1), seen=torch.zeros(4)), (torch.ones(3),), (torch.ones(3) * 2,))

    def test_inputs_written_in_place(self):
        def forward(self, x, index, y):
            x.index_put_((index,), y, accumulate=True)
            y.mul_(2)
            return x.sum()

        self.check(module(forward), (torch.zeros(5, 2), torch.tensor([0, 3]), torch.ones(2, 2)))

    def test_folded_and_shared_weights(self):
        linear = nn.Linear(8, 8)

        def forward(self, x):
            return self.a(x) + self.b(x) + (self.a.weight @ self.b.weight.t())

        self.check(module(forward, a=linear, b=linear), (torch.randn(8, 8),), freezing=True)

    def test_weights_mapped_from_the_code(self):
        options = {"aot_inductor.force_mmap_weights": True}
        self.check(module(lambda self, x: self.a(x), a=nn.Linear(64, 300)), (torch.randn(2, 64),), **options)

    def test_weights_apart(self):
        options = {
            "aot_inductor.package_constants_in_so": False,
            "aot_inductor.package_constants_on_disk_format": "binary_blob",
        }
        self.check(module(lambda self, x: self.a(x), a=nn.Linear(64, 300)), (torch.randn(2, 64),), **options)

    # Inputs

    def test_inputs_that_share_memory(self):
        base = torch.randn(4, 6)
        self.check(module(lambda self, x, y: x + y), (base[:2], base[1:3]), (base[:2], base[:2]))

    def test_misaligned_input(self):
        self.check(module(lambda self, x: x.relu() * 2), (torch.randn(65),), (torch.randn(66)[1:],))

    def test_input_of_other_strides(self):
        self.check(module(lambda self, x: (x * 2, x.t() @ x)), (torch.randn(4, 6)[:, ::2],))

    def test_lists_and_dicts(self):
        def forward(self, xs):
            return {"sum": xs["a"][0] + xs["a"][1], "rest": [xs["b"] * 2]}

        self.check(module(forward), ({"a": [torch.randn(2), torch.randn(2)], "b": torch.randn(3)},))

    def test_an_input_that_is_not_used(self):
        self.check(module(lambda self, x, unused: x + 1), (torch.randn(3), torch.randn(4)))

    def test_a_number_among_inputs(self):
        self.check(module(lambda self, x, k: x * k), (torch.randn(3), 2))

    def test_every_dtype(self):
        dtypes = (torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
        dtypes += (torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.complex64)
        self.check(
            module(lambda self, *xs: tuple(torch.cat([x, x]) for x in xs)), tuple(torch.ones(3).to(d) for d in dtypes)
        )

    # Sizes

    def test_two_sizes_equal_at_run_time(self):
        n, m = Dim("n", min=1, max=64), Dim("m", min=1, max=64)
        self.check(
            module(lambda self, x, y: (x @ y, x.sum(0))),
            (torch.randn(4, 8), torch.randn(8, 5)),
            (torch.randn(5, 8), torch.randn(8, 5)),
            (torch.randn(1, 8), torch.randn(8, 1)),
            shapes=({0: n}, {1: m}),
        )

    def test_sizes_that_values_tell(self):
        def forward(self, x):
            places = torch.nonzero(x > 0)
            chosen = x[x > 0]
            unique, inverse = torch.unique(x.round(), return_inverse=True)
            return places, chosen * 2, unique, inverse

        self.check(module(forward), (torch.randn(40),), (torch.randn(40).abs(),), (-torch.randn(40).abs(),))

    def test_a_size_from_an_op_of_several_outputs(self):
        def forward(self, x):
            unique, inverse, counts = torch.unique_consecutive(x, return_inverse=True, return_counts=True)
            return unique + 1, inverse, counts.cumsum(0)

        self.check(module(forward), (torch.tensor([1, 1, 2, 2, 3]),), (torch.tensor([4, 4, 4, 4, 4]),))

    def test_a_size_that_is_a_value(self):
        def forward(self, x, n):
            k = n.item()
            torch._check(k >= 2)
            torch._check(k <= 100)
            return torch.ones(k, 3) + x, torch.arange(k)

        self.check(module(forward), (torch.randn(3), torch.tensor(5)), (torch.randn(3), torch.tensor(9)))

    def test_repeat_interleave(self):
        self.check(
            module(lambda self, x, n: torch.repeat_interleave(x, n, dim=0).sum(1)),
            (torch.randn(3, 2), torch.tensor([1, 0, 4])),
        )

    def test_split_by_a_size(self):
        n = Dim("n", min=2, max=50)
        self.check(
            module(lambda self, x: torch.cat([x, x[: x.shape[0] // 2]]).cumsum(0)),
            (torch.randn(8, 3),),
            (torch.randn(9, 3),),
            (torch.randn(2, 3),),
            shapes=({0: n},),
        )

    # Control flow

    def test_cond(self):
        def forward(self, p, x):
            return torch.cond(p, lambda x: x.sin() + self.a, lambda x: x.cos() - self.a, (x,))

        self.check(
            module(forward, a=torch.randn(3)),
            (torch.tensor(True), torch.randn(4, 3)),
            (torch.tensor(False), torch.randn(4, 3)),
        )

    def test_while_loop(self):
        def forward(self, n, x):
            loop = torch._higher_order_ops.while_loop
            return loop(lambda n, x: n > 0, lambda n, x: (n - 1, x * 2 + 1), (n, x))

        self.check(module(forward), (torch.tensor(4), torch.randn(3)), (torch.tensor(0), torch.randn(3)))

    def test_scan(self):
        def forward(self, x):
            from torch._higher_order_ops.scan import scan

            return scan(lambda carry, each: (carry + each, carry * 2), torch.zeros(3), x)

        self.check(module(forward), (torch.randn(5, 3),))

    def test_cond_within_cond_and_sizes_within(self):
        def inner(x):
            return torch.cond(x.sum() > 0, lambda x: x[2:] * self_weight.sum(), lambda x: x[:3] - 1, (x,))

        self_weight = torch.randn(3)

        def forward(self, p, x, y):
            n = y.shape[0]
            return torch.cond(p, inner, lambda x: x + n, (x,)).sum(), x.sum() * n

        n, m = Dim("n", min=6, max=60), Dim("m", min=2, max=60)
        calls = [
            (torch.tensor(p), torch.randn(rows, 3), torch.randn(other))
            for p, rows, other in ((True, 7, 4), (False, 9, 9))
        ]
        self.check(module(forward), *calls, shapes=({}, {0: n}, {0: m}))

    def test_while_loop_with_a_convolution(self):
        convolution = nn.Conv2d(4, 4, 3, padding=1).double()

        def forward(self, n, x):
            loop = torch._higher_order_ops.while_loop
            return loop(lambda n, x: n > 0, lambda n, x: (n - 1, self.c(x)), (n, x))

        x = torch.randn(2, 4, 4, 4, dtype=torch.float64)
        self.check(module(forward, c=convolution), (torch.tensor(3), x), (torch.tensor(0), x))

    def test_a_size_that_a_branch_uses(self):
        def forward(self, x, n):
            k = n.item()
            torch._check(k >= 2)
            torch._check(k <= 50)
            y = torch.ones(k, 4)
            return torch.cond(x.sum() > 0, lambda x: x * y.sum(), lambda x: x - k, (x,)), y

        self.check(module(forward), (torch.ones(3), torch.tensor(4)), (-torch.ones(3), torch.tensor(7)))

    # What is empty

    def test_weights_and_buffers_of_no_elements(self):
        def forward(self, x):
            y = self.b(torch.relu(self.a(x.mean((2, 3)))))
            return x * torch.sigmoid(y)[:, :, None, None], self.nothing, self.nothing.sum()

        subject = module(
            forward, a=nn.Linear(4, 0, bias=False), b=nn.Linear(0, 4, bias=False), nothing=torch.zeros(0, 0)
        )
        self.check(subject, (torch.rand(2, 4, 3, 3),))

    def test_no_rows(self):
        n = Dim("n", min=0, max=64)
        subject = module(lambda self, x: (self.a(x).relu(), x.sum(0), x.cumsum(0)), a=nn.Linear(8, 4))
        self.check(subject, (torch.randn(4, 8),), (torch.randn(9, 8),), shapes=({0: n},))

    # How it is compiled

    def test_a_profile_of_kernels(self):
        subject = module(lambda self, x: F.linear(x, self.w, self.b), w=torch.randn(6, 16), b=torch.randn(6))
        self.check(subject, (torch.randn(2, 8, 16),), **{"cpp.enable_kernel_profile": True})

    def test_one_thread(self):
        self.check(module(lambda self, x: torch.softmax(x @ x.t(), -1)), (torch.randn(64, 64),), **{"cpp.threads": 1})

    def test_without_vectors(self):
        subject = module(lambda self, x: (x.exp() * 2).sum(0) + x.mean(1, keepdim=True))
        self.check(subject, (torch.randn(33, 33),), **{"cpp.simdlen": 0})

    def test_tuned(self):
        layers = nn.Sequential(nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 32), nn.Sigmoid())
        bags = nn.EmbeddingBag(128, 32)

        def forward(self, x, y):
            return self.c(torch.cat([self.a(x), self.b(y)], 1))

        subject = module(forward, a=layers, b=bags, c=nn.Linear(64, 32))
        self.check(subject, (torch.randn(16, 128), torch.randint(0, 128, (16, 10))), max_autotune=True)

    def test_everything_in_one_index_put(self):
        def forward(self, x, mask, where, values):
            return x.index_put((mask,), values.sum()), x.index_put((where, where), values, accumulate=True)

        x = torch.zeros(4, 4, dtype=torch.int64)
        self.check(module(forward), (x, x == 0, torch.tensor([0, 3, 3]), torch.tensor([5, 6, 7])))

    # Ops that call out

    def test_bags(self):
        table = nn.EmbeddingBag(10, 3, mode="sum")
        self.check(
            module(lambda self, i, o: self.t(i, o), t=table), (torch.randint(0, 10, (12,)), torch.tensor([0, 3, 7]))
        )

    def test_attention(self):
        self.check(module(attention), tuple(torch.randn(2, 4, 16, 8) for _ in range(3)))

    def test_convolutions(self):
        def forward(self, x):
            return self.t(self.c(x).relu())

        subject = module(forward, c=nn.Conv2d(3, 8, 3, padding=1), t=nn.ConvTranspose2d(8, 4, 2, stride=2))
        self.check(subject, (torch.randn(2, 3, 8, 8),))

    def test_convolutions_frozen(self):
        subject = module(
            lambda self, x: self.n(self.c(x)).relu(), c=nn.Conv2d(16, 32, 3, padding=1), n=nn.BatchNorm2d(32)
        )
        self.check(subject, (torch.randn(1, 16, 8, 8),), freezing=True)

    def test_fft(self):
        self.check(module(lambda self, x: (torch.fft.fft(x).real, torch.fft.rfft(x).abs())), (torch.randn(4, 16),))

    def test_scatter_and_gather(self):
        def forward(self, x, i, s):
            return x.scatter(0, i, s), x.scatter_reduce(0, i, s, "prod"), x.gather(0, i), x.scatter_add(0, i, s)

        self.check(module(forward), (torch.randn(5, 4), torch.randint(0, 5, (3, 4)), torch.randn(3, 4)))

    def test_sort_and_cumulate(self):
        def forward(self, x):
            values, order = x.sort(stable=True)
            return values, order, x.cumsum(1), x.cumprod(0), x.topk(2).values, x.argmax(1), x.logcumsumexp(0)

        self.check(module(forward), (torch.randn(5, 7),))

    def test_conjugates(self):
        self.check(
            module(lambda self, x: (x.conj(), torch.view_as_real(x.conj() * 2), x.conj().t())),
            (torch.randn(2, 3, dtype=torch.complex64),),
        )

    def test_an_lstm(self):
        self.check(module(lambda self, x: self.r(x)[0], r=nn.LSTM(5, 6, batch_first=True)), (torch.randn(2, 4, 5),))

    def test_solvers(self):
        def forward(self, a, b):
            s = a @ a.mT + torch.eye(4)
            return torch.linalg.solve(s, b), torch.linalg.cholesky(s), torch.linalg.inv(s), torch.linalg.det(a)

        self.check(module(forward), (torch.randn(4, 4), torch.randn(4, 2)))

    def test_padding_pooling_resizing(self):
        def forward(self, x):
            pooled, where = F.max_pool2d(x, 2, return_indices=True)
            return (
                F.pad(x, (1, 2, 0, 1), mode="reflect"),
                pooled,
                where,
                F.avg_pool2d(x, 3, 1, 1),
                F.interpolate(x, scale_factor=2, mode="bilinear"),
                F.adaptive_avg_pool2d(x, (3, 5)),
                F.grid_sample(x, torch.zeros(1, 2, 2, 2), align_corners=False),
            )

        self.check(module(forward), (torch.randn(1, 2, 8, 8),))

    def test_asserts(self):
        def forward(self, x):
            torch._assert_async((x > -100).all())
            return x + 1

        self.check(module(forward), (torch.randn(4),))

    def test_distances_and_norms(self):
        def forward(self, x, y):
            return torch.cdist(x, y), F.layer_norm(x, (4,)), F.normalize(x), torch.linalg.vector_norm(x, 3), x.std(0)

        self.check(module(forward), (torch.randn(5, 4), torch.randn(6, 4)))


def attention(self, q, k, v):
    """Scaled dot product attention, causal and not."""
    return F.scaled_dot_product_attention(q, k, v), F.scaled_dot_product_attention(q, k, v, is_causal=True)
