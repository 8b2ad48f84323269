"""Arguments for linear layers of bytes."""

from __future__ import annotations

import ctypes
from typing import Any

import torch
from slim_harness import Generator, Packed, case

#: What follows a layer: name, scalars, algorithm.
POINTWISE: list[tuple[str, list[float | None], str]] = [
    ("none", [], ""),
    ("relu", [], ""),
    ("leaky_relu", [0.1], ""),
    ("hardtanh", [-0.5, 0.7], ""),
    ("hardswish", [], ""),
    ("swish", [], ""),
    ("gelu", [], "none"),
    ("gelu", [], "tanh"),
]


def packed(weight: torch.Tensor, rows: int) -> Packed:
    """An int8 weight [columns, depth] as torch packs it."""
    by_torch = torch.ops.onednn.qlinear_prepack(weight, [rows, weight.shape[1]])
    memory = torch.empty(torch.ops.mkldnn._nbytes(by_torch), dtype=torch.int8)
    ctypes.memmove(memory.data_ptr(), torch.ops.mkldnn.data_ptr(by_torch), memory.nbytes)
    descriptor = bytes(torch.ops.mkldnn._get_mkldnn_serialized_md(by_torch).tolist())
    return Packed(tuple(by_torch.shape), memory, descriptor)


def close(arguments: dict[str, Any], ours: list[torch.Tensor], theirs: list[torch.Tensor]) -> str | None:
    """Bytes may be rounded to the neighbour where float32 lies half-way between two."""
    for got, expected in zip(ours, theirs, strict=True):
        if (got.dtype, got.shape, got.stride()) != (expected.dtype, expected.shape, expected.stride()):
            return f"{got.dtype}{list(got.shape)}, torch {expected.dtype}{list(expected.shape)}"
        a, b = got.double(), expected.double()
        relative = 8e-3 if expected.dtype == torch.bfloat16 else 1e-5
        limit = 1e-4 + b.abs() * relative if expected.is_floating_point() else torch.ones_like(b)
        wrong = (a - b).abs() > limit
        if bool(wrong.any()):
            return f"{int(wrong.sum())} of {a.numel()} values differ: {a[wrong][0]}, torch {b[wrong][0]}"
    return None


def layer(g: Generator, dtype: torch.dtype) -> dict[str, Any]:
    """What both functions take."""
    m, n, k = g.choice([1, 3, 8, 17, 40]), g.choice([1, 5, 16, 40, 100]), g.choice([4, 7, 16, 33, 64])
    low, high = (0, 256) if dtype == torch.uint8 else (-128, 128)
    lead = g.choice([[m], [2, m]])
    scales = n if g.chance(0.7) else 1
    return {
        "X": torch.randint(low, high, [*lead, k], generator=g.torch).to(dtype),
        "act_scale": torch.tensor(0.02),
        "act_zero_point": torch.tensor(g.integer(low, high), dtype=torch.int32),
        "onednn_weight": packed(torch.randint(-128, 128, [n, k], generator=g.torch).to(torch.int8), m),
        "weight_scales": torch.rand([scales], generator=g.torch) * 0.01 + 0.001,
        "weight_zero_points": torch.zeros([scales], dtype=torch.int32),
        "B": g.choice([None, torch.randn([n], generator=g.torch)]),
    }


def ending(g: Generator, dtype: torch.dtype) -> dict[str, Any]:
    """The dtype of the result, and how it is quantised."""
    wanted = g.choice([torch.float32, torch.bfloat16, dtype])
    is_byte = not wanted.is_floating_point
    return {
        "output_scale": 0.05 if is_byte else 1.0,
        "output_zero_point": g.integer(0, 100) if is_byte else 0,
        "output_dtype": wanted,
    }


@case("cpu__qlinear_pointwise_tensor", draws=150, check=close)
def qlinear(g: Generator) -> dict[str, Any]:
    """Each fused function, each dtype of the result."""
    dtype = g.choice([torch.uint8, torch.uint8, torch.int8])
    name, scalars, algorithm = g.choice(POINTWISE)
    return {
        **layer(g, dtype),
        **ending(g, dtype),
        "post_op_name": name,
        "post_op_args": scalars,
        "post_op_algorithm": algorithm,
    }


@case("cpu__qlinear_pointwise_binary_tensor", draws=150, check=close)
def qlinear_binary(g: Generator) -> dict[str, Any]:
    """Added to another matrix, or summed in place."""
    dtype = torch.uint8
    given, wanted, kind = layer(g, dtype), ending(g, dtype), g.choice(["add", "sum"])
    shape = [*given["X"].shape[:-1], given["onednn_weight"].sizes[1]]
    if kind == "add":
        other = torch.randn(shape, generator=g.torch).to(g.choice([torch.float32, torch.bfloat16]))
    elif wanted["output_dtype"] == dtype:
        other = torch.randint(0, 256, shape, generator=g.torch).to(dtype)
    else:
        other = torch.randn(shape, generator=g.torch).to(wanted["output_dtype"])
    is_byte = other.dtype == dtype
    return {
        **given,
        "other": other,
        **wanted,
        "other_scale": 0.03 if is_byte else 1.0,
        "other_zero_point": g.integer(0, 100) if is_byte else 0,
        "binary_post_op": kind,
        "binary_alpha": 1.0,
        "unary_post_op": g.choice(["none", "relu"]),
        "unary_post_op_args": [],
        "unary_post_op_algorithm": "",
    }
