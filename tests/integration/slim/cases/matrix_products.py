"""Arguments for products of matrices."""

from __future__ import annotations

from typing import Any

import torch
from slim_harness import COMPLEX, FLOATS, INTEGERS, Generator, Packed, case

DTYPES = (*FLOATS, torch.float32, torch.float32, torch.int64, torch.int32, *COMPLEX)


def sizes(g: Generator) -> tuple[int, int, int]:
    """Rows, columns, and what is summed over; now and then none, or enough for several threads."""
    m, n, k = (g.choice([1, 2, 3, 8, 17, 40]) for _ in range(3))
    if g.chance(0.1):
        return g.choice([(0, n, k), (m, 0, k), (m, n, 0), (130, 96, 257)])
    return m, n, k


def matrix(g: Generator, dtype: torch.dtype, shape: list[int]) -> torch.Tensor:
    """Small numbers, so that integers do not overflow into undefined territory."""
    x = torch.randn(shape, generator=g.torch, dtype=torch.float64)
    if dtype in INTEGERS:
        return g.arranged((x * 3).to(dtype))
    return g.arranged(x.to(dtype))


def factor(g: Generator, dtype: torch.dtype) -> float:
    """alpha or beta."""
    return g.choice([0.0, 1.0, 1.0, 2.0] if dtype in INTEGERS else [0.0, 1.0, 1.0, 0.5, -2.0])


@case("cpu_mm_out", tolerance=16)
def mm(g: Generator) -> dict[str, Any]:
    """Any layout of any of the three."""
    dtype, (m, n, k) = g.choice(DTYPES), sizes(g)
    return {
        "out": g.arranged(matrix(g, dtype, [m, n])),
        "self": matrix(g, dtype, [m, k]),
        "mat2": matrix(g, dtype, [k, n]),
    }


@case("cpu_addmm_out", tolerance=16)
def addmm(g: Generator) -> dict[str, Any]:
    """The matrix added may be a vector, a scalar or a column."""
    dtype, (m, n, k) = g.choice(DTYPES), sizes(g)
    return {
        "out": matrix(g, dtype, [m, n]),
        "self": matrix(g, dtype, g.choice([[m, n], [n], [1], [m, 1], []])),
        "mat1": matrix(g, dtype, [m, k]),
        "mat2": matrix(g, dtype, [k, n]),
        "beta": factor(g, dtype),
        "alpha": factor(g, dtype),
    }


@case("cpu_bmm_out", tolerance=16)
def bmm(g: Generator) -> dict[str, Any]:
    """A batch of products."""
    dtype, (m, n, k), batch = g.choice(DTYPES), sizes(g), g.choice([0, 1, 2, 5])
    return {
        "out": matrix(g, dtype, [batch, m, n]),
        "self": matrix(g, dtype, [batch, m, k]),
        "mat2": matrix(g, dtype, [batch, k, n]),
    }


# Of integers, torch refuses products that sum over nothing.
@case("cpu_baddbmm_out", tolerance=16, serves_more=True)
def baddbmm(g: Generator) -> dict[str, Any]:
    """A batch of products, added to something that broadcasts."""
    dtype, (m, n, k), batch = g.choice(DTYPES), sizes(g), g.choice([0, 1, 2, 5])
    return {
        "out": matrix(g, dtype, [batch, m, n]),
        "self": matrix(g, dtype, g.choice([[batch, m, n], [m, n], [n], []])),
        "batch1": matrix(g, dtype, [batch, m, k]),
        "batch2": matrix(g, dtype, [batch, k, n]),
        "beta": factor(g, dtype),
        "alpha": factor(g, dtype),
    }


@case("cpu_addbmm", tolerance=32)
def addbmm(g: Generator) -> dict[str, Any]:
    """A batch of products, summed."""
    dtype, (m, n, k), batch = g.choice([torch.float32, torch.float64]), sizes(g), g.choice([0, 1, 2, 5])
    return {
        "self": matrix(g, dtype, g.choice([[m, n], [n], []])),
        "batch1": matrix(g, dtype, [batch, m, k]),
        "batch2": matrix(g, dtype, [batch, k, n]),
        "beta": factor(g, dtype),
        "alpha": factor(g, dtype),
    }


@case("cpu_addmv", tolerance=16)
def addmv(g: Generator) -> dict[str, Any]:
    """A matrix and a vector."""
    dtype, (m, _, k) = g.choice([torch.float32, torch.float64, torch.int64]), sizes(g)
    return {
        "self": matrix(g, dtype, g.choice([[m], []]) if m and k else [m]),
        "mat": matrix(g, dtype, [m, k]),
        "vec": matrix(g, dtype, [k]),
        "beta": factor(g, dtype),
        "alpha": factor(g, dtype),
    }


@case("cpu__addmm_activation", tolerance=16)
def addmm_activation(g: Generator) -> dict[str, Any]:
    """relu or gelu behind addmm."""
    dtype, (m, n, k) = g.choice([torch.float32, torch.float64]), sizes(g)
    return {
        "self": matrix(g, dtype, g.choice([[m, n], [n]])),
        "mat1": matrix(g, dtype, [m, k]),
        "mat2": matrix(g, dtype, [k, n]),
        "beta": factor(g, dtype),
        "alpha": factor(g, dtype),
        "use_gelu": g.chance(0.5),
    }


@case("cpu__int_mm_out")
def int_mm(g: Generator) -> dict[str, Any]:
    """int8, or uint8 as torchao has it where a processor multiplies that faster, times int8 into int32."""
    m, n, k = sizes(g)
    unsigned = torch.randint(0, 256, [m, k], generator=g.torch).to(torch.uint8)
    return {
        "out": torch.zeros([m, n], dtype=torch.int32),
        "self": g.arranged(unsigned if g.chance(0.5) else g.weights([m, k])),
        "mat2": g.arranged(g.weights([k, n])),
    }


@case("cpu__grouped_mm", tolerance=16)
def grouped_mm(g: Generator) -> dict[str, Any]:
    """Groups of rows, of columns, of what is summed over, or a batch; lines start at multiples of 16 bytes."""
    dtype = g.choice([torch.float32, torch.bfloat16, torch.float16])
    m, n, k, groups = (g.choice([1, 3, 8, 17]) for _ in range(4))
    kind = g.choice(["rows", "columns", "sums", "batch"])

    def lines(batch: int | None, rows: int, columns: int) -> torch.Tensor:
        lead, swap = [] if batch is None else [batch], g.chance(0.4)
        rows, columns = (columns, rows) if swap else (rows, columns)
        room = (columns + 7) // 8 * 8 + g.choice([0, 0, 0, 8, 1])
        x = torch.randn([*lead, rows, room], generator=g.torch, dtype=torch.float64).to(dtype)[..., :columns]
        return x.mT if swap else x

    total = {"rows": m, "columns": n, "sums": k, "batch": 0}[kind]
    ends = sorted(g.integer(0, total) for _ in range(groups))
    ends[-1] = total  # rows that no group has are not written
    offsets = g.arranged(torch.tensor(ends, dtype=g.choice([torch.int32] * 9 + [torch.int64])))
    return {
        "self": lines(None if kind in ("rows", "sums") else groups, m, k),
        "mat2": lines(None if kind in ("columns", "sums") else groups, k, n),
        "offs": None if (kind == "batch") != g.chance(0.05) else offsets,
    }


def packed(g: Generator, weight: torch.Tensor) -> torch.Tensor | Packed:
    """A weight as it is, as torch packs it for some number of rows, or in the panels of a slim bundle."""
    way = g.choice(["plain", "torch", "panels"])
    if way == "plain":
        return weight
    if weight.dtype != torch.float32 and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return weight
    is_float16 = weight.dtype == torch.float16
    given = weight.view(torch.bfloat16) if is_float16 else weight
    by_torch = torch.ops.mkldnn._reorder_linear_weight(given, g.choice([1, 16, 64]))
    made = Packed.of(by_torch) if way == "torch" else Packed.in_panels(by_torch, given, 0, 1)
    return made.as_float16(weight) if is_float16 else made


@case("cpu__linear_pointwise", draws=90, tolerance=16, widens=True)
def linear(g: Generator) -> dict[str, Any]:
    """A linear layer with each of the fused functions."""
    n, k = g.choice([1, 5, 8, 16, 40, 100]), g.choice([3, 8, 16, 33, 64])
    attr, scalars, algorithm = g.choice(POINTWISE)
    dtype = g.choice(LINEAR)
    return {
        "X": matrix(g, dtype, [*g.choice([[4], [1], [2, 3], [1, 1, 7], [29]]), k]).contiguous(),
        "W": packed(g, matrix(g, dtype, [n, k]).contiguous()),
        "B": g.choice([None, matrix(g, dtype, [n]).contiguous()]),
        "attr": attr,
        "scalars": scalars,
        "algorithm": algorithm,
    }


@case("cpu__linear_pointwise_binary", draws=90, tolerance=16, widens=True)
def linear_binary(g: Generator) -> dict[str, Any]:
    """A linear layer whose result is added to another."""
    n, k, lead = g.choice([1, 5, 8, 16, 40]), g.choice([3, 8, 16, 33, 64]), g.choice([[4], [1], [2, 3], [29]])
    dtype = g.choice(LINEAR)
    return {
        "X": matrix(g, dtype, [*lead, k]).contiguous(),
        "other": matrix(g, dtype, [*lead, n]).contiguous(),
        "W": packed(g, matrix(g, dtype, [n, k]).contiguous()),
        "B": g.choice([None, matrix(g, dtype, [n]).contiguous()]),
        "attr": g.choice(["add", "sub", "mul"]),
    }


#: Of linear layers.
LINEAR = (torch.float32, torch.float32, torch.bfloat16, torch.float16)
#: What Inductor fuses: name, scalars, algorithm.
POINTWISE: list[tuple[str, list[float | None], str | None]] = [
    ("none", [None], None),
    ("relu", [None], None),
    ("sigmoid", [None], None),
    ("tanh", [None], None),
    ("swish", [None], None),
    ("hardswish", [None], None),
    ("hardsigmoid", [None], None),
    ("leaky_relu", [0.1], None),
    ("hardtanh", [-0.5, 0.7], None),
    ("gelu", [None], "none"),
    ("gelu", [None], "tanh"),
]
