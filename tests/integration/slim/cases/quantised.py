"""Arguments for layers and products of bytes, of four bits and of eight-bit floats."""

from __future__ import annotations

from typing import Any

import torch
from slim_harness import Generator, Packed, case

from .convolution import packed_convolution

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

FUSED_WITH_CONVOLUTIONS = ("none", "relu", "hardtanh", "hardswish", "swish")


def packed(g: Generator, weight: torch.Tensor, rows: int) -> Packed:
    """An int8 weight [columns, depth] as torch packs it, or in the panels of a slim bundle."""
    by_torch = torch.ops.onednn.qlinear_prepack(weight, [rows, weight.shape[1]])
    return Packed.in_panels(by_torch, weight.t(), 1, 0) if g.chance(0.5) else Packed.of(by_torch)


def close(arguments: dict[str, Any], ours: list[torch.Tensor], theirs: list[torch.Tensor]) -> str | None:
    """Bytes may be rounded to the neighbour where float32 lies half-way between two."""
    for got, expected in zip(ours, theirs, strict=True):
        if (got.dtype, got.shape, got.stride()) != (expected.dtype, expected.shape, expected.stride()):
            return f"{got.dtype}{list(got.shape)}, torch {expected.dtype}{list(expected.shape)}"
        a, b = got.double(), expected.double()
        relative = 8e-3 if expected.dtype == torch.bfloat16 else 1e-5
        limit = 1e-4 + b.abs() * relative if expected.is_floating_point() else torch.ones_like(b)
        wrong = ~((a - b).abs() <= limit)  # also what is no number
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
        "onednn_weight": packed(g, g.weights([n, k]), m),
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


def convolution(g: Generator, *, of_lines: bool = False) -> dict[str, Any]:
    """What both functions take: plain, strided, dilated, grouped and depthwise ones; `of_lines`: along one dim."""
    kind = g.choice(["plain", "plain", "grouped", "depthwise", "pointwise"])
    groups = {"grouped": g.choice([2, 3]), "depthwise": g.choice([4, 16, 33])}.get(kind, 1)
    inputs, outputs = (1, 1) if kind == "depthwise" else (g.choice([1, 3, 8]), g.choice([1, 5, 16, 40]))
    if kind == "grouped":  # oneDNN 3.12 is wrong by whole numbers for two groups of 40 outputs and a zero point
        outputs = min(outputs, 16)
    kernel = [1, 1] if kind == "pointwise" else [g.choice([1, 2, 3]), g.choice([1, 3])]
    size = [g.choice([5, 6, 9, 14]), g.choice([5, 8, 11])]
    stride = [g.choice([1, 1, 2]), g.choice([1, 1, 2])]
    padding = [g.choice([0, 1]), g.choice([0, 1])]
    dilation = [g.choice([1, 1, 2]), g.choice([1, 1, 2])]
    if of_lines:
        kernel, size, stride, padding, dilation = kernel[:1], size[:1], stride[:1], padding[:1], dilation[:1]
    x = torch.randint(0, 256, [g.choice([1, 2]), groups * inputs, *size], generator=g.torch).to(torch.uint8)
    zero_point = g.integer(0, 100)
    channels = groups * outputs
    scales = channels if g.chance(0.8) else 1
    weight = g.weights([channels, inputs, *kernel])
    by_scale = torch.rand([scales], generator=g.torch) * 0.01 + 0.001
    prepacked = torch.ops.onednn.qconv_prepack(
        weight, by_scale, 0.02, zero_point, stride, padding, dilation, groups, list(x.shape)
    )
    return {
        "X": x if of_lines else x.contiguous(memory_format=torch.channels_last),
        "act_scale": torch.tensor(0.02),
        "act_zero_point": torch.tensor(zero_point, dtype=torch.int32),
        "onednn_weight": packed_convolution(g, prepacked, weight.unflatten(0, (groups, -1)), groups),
        "weight_scales": by_scale,
        "weight_zero_points": torch.zeros([scales], dtype=torch.int32),
        "B": g.choice([None, torch.randn([channels], generator=g.torch)]),
        "stride": stride,
        "padding": padding,
        "dilation": dilation,
        "groups": groups,
    }


@case("cpu__qconv_pointwise_tensor", draws=200, check=close)
def qconv(g: Generator) -> dict[str, Any]:
    """Each fused function that torch has for them, each dtype of the result; along one dim torch has but relu."""
    name, scalars, algorithm = g.choice([entry for entry in POINTWISE if entry[0] in FUSED_WITH_CONVOLUTIONS])
    given, wanted = convolution(g), ending(g, torch.uint8)
    if g.chance(0.2):
        given = convolution(g, of_lines=True)
    return {
        **given,
        **wanted,
        "attr": name,
        "post_op_args": scalars,
        "algorithm": algorithm,
    }


@case("cpu__qconv2d_pointwise_binary_tensor", draws=120, check=close)
def qconv_binary(g: Generator) -> dict[str, Any]:
    """Summed in place."""
    dtype = torch.uint8
    given, wanted = convolution(g), ending(g, dtype)
    x, sizes = given["X"], given["onednn_weight"].sizes
    spatial = [
        (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
        for size, kernel, stride, padding, dilation in zip(
            x.shape[2:], sizes[2:], given["stride"], given["padding"], given["dilation"], strict=True
        )
    ]
    shape = [x.shape[0], sizes[0], *spatial]
    is_byte = wanted["output_dtype"] == dtype
    if is_byte:
        accum = torch.randint(0, 256, shape, generator=g.torch).to(dtype)
    else:
        accum = torch.randn(shape, generator=g.torch).to(wanted["output_dtype"])
    names = {"stride": "stride_args", "padding": "padding_args", "dilation": "dilation_args"}
    return {
        **{names.get(name, name): value for name, value in given.items()},
        "accum": accum.contiguous(memory_format=torch.channels_last),
        **wanted,
        "accum_scale": 0.03 if is_byte else 1.0,
        "accum_zero_point": g.integer(0, 100) if is_byte else 0,
        "binary_attr": "sum",
        "alpha": g.choice([None, 1.0]),
        "unary_attr": g.choice([None, "relu"]),
        "unary_scalars": [],
        "unary_algorithm": None,
    }


def summed(arguments: dict[str, Any], ours: list[torch.Tensor], theirs: list[torch.Tensor]) -> str | None:
    """Torch is wrong here for some sizes: it writes sums that are inputs of others."""
    x, channels = arguments["X"].double(), arguments["X"].shape[1]
    taps = torch.ones([channels, channels, 3, 3], dtype=torch.float64)
    sums = torch.nn.functional.conv2d(x - arguments["act_zero_point"], taps, padding=1) * 0.02 * 0.01
    sums += (x - arguments["accum_zero_point"]) * 0.03
    expected = (sums / 0.05 + arguments["output_zero_point"]).round().clamp(0, 255).to(torch.uint8)
    return close(arguments, ours[:1], [expected.contiguous(memory_format=torch.channels_last)])


@case("cpu__qconv2d_pointwise_binary_tensor", draws=10, check=summed)
def qconv_onto_its_input(g: Generator) -> dict[str, Any]:
    """Added to the very input."""
    channels = g.choice([1, 8, 16])
    x = torch.randint(0, 256, [g.choice([1, 2]), channels, 30, g.choice([5, 30])], generator=g.torch).to(torch.uint8)
    x = x.contiguous(memory_format=torch.channels_last)
    scales = torch.full([channels], 0.01)
    weight = torch.ones([channels, channels, 3, 3], dtype=torch.int8)
    zero_point = g.integer(0, 255)
    prepacked = torch.ops.onednn.qconv_prepack(
        weight, scales, 0.02, zero_point, [1, 1], [1, 1], [1, 1], 1, list(x.shape)
    )
    return {
        "X": x,
        "act_scale": torch.tensor(0.02),
        "act_zero_point": torch.tensor(zero_point, dtype=torch.int32),
        "onednn_weight": Packed.of(prepacked),
        "weight_scales": scales,
        "weight_zero_points": torch.zeros([channels], dtype=torch.int32),
        "B": None,
        "stride_args": [1, 1],
        "padding_args": [1, 1],
        "dilation_args": [1, 1],
        "groups": 1,
        "accum": x,
        "accum_scale": 0.03,
        "accum_zero_point": g.integer(0, 100),
        "output_scale": 0.05,
        "output_zero_point": g.integer(0, 100),
        "output_dtype": torch.uint8,
        "binary_attr": "sum",
        "alpha": None,
        "unary_attr": None,
        "unary_scalars": [],
        "unary_algorithm": None,
    }


def near(arguments: dict[str, Any], ours: list[torch.Tensor], theirs: list[torch.Tensor]) -> str | None:
    """Torch rounds weights, or sums, of bfloat16 and float16 in between on some machines; a result of eight bits may be
    the neighbour."""
    for got, expected in zip(ours, theirs, strict=True):
        if (got.dtype, got.shape, got.stride()) != (expected.dtype, expected.shape, expected.stride()):
            return f"{got.dtype}{list(got.shape)}, torch {expected.dtype}{list(expected.shape)}"
        a, b = got.double(), expected.double()
        epsilon = torch.finfo(expected.dtype).eps if expected.dtype.is_floating_point else 0
        relative = 2e-5 if expected.dtype == torch.float32 else max(2e-2, epsilon)
        limit = relative * (b.abs() + b.abs().max()) if b.numel() else b
        wrong = ~((a - b).abs() <= limit)
        if bool(wrong.any()):
            return f"{int(wrong.sum())} of {a.numel()} values differ: {a[wrong][0]}, torch {b[wrong][0]}"
    return None


def blocks_of_64(weight: torch.Tensor) -> torch.Tensor:
    """Numbers from 0 to 15 [n, k] in the order that torch gives them where there is AVX-512: [n, k / 2]."""
    parts = []
    for begin in range(0, weight.shape[0], 64):
        columns = weight[begin : begin + 64].T
        low, high = (
            (columns[:, :32], columns[:, 32:]) if columns.shape[1] == 64 else (columns[:, ::2], columns[:, 1::2])
        )
        parts.append((low | (high << 4)).to(torch.uint8).reshape(-1))
    return torch.cat(parts).reshape(weight.shape[0], weight.shape[1] // 2)


@case("cpu__weight_int4pack_mm_cpu_tensor", draws=120, check=near)
def int4(g: Generator) -> dict[str, Any]:
    """Whole blocks of columns and others; few rows and many."""
    group = g.choice([32, 64])
    wide = torch.backends.cpu.get_cpu_capability() == "AVX512"  # else torch has another order for whole blocks
    n, k, m = (
        g.choice([16, 48, 64, 80, 128, 192] if wide else [16]),
        group * g.choice([1, 2, 3]),
        g.choice([1, 2, 3, 4, 5, 17]),
    )
    dtype = g.choice([torch.float32, torch.bfloat16, torch.float16])
    weight = torch.randint(0, 16, [n, k], generator=g.torch, dtype=torch.int32)
    by_torch = torch.ops.aten._convert_weight_to_int4pack_for_cpu(weight, 1)
    assert torch.equal(by_torch, blocks_of_64(weight)), "torch packs differently"
    return {
        "X": torch.randn([m, k], generator=g.torch).to(dtype),
        "w": blocks_of_64(weight),
        "qGroupSize": torch.tensor(group),
        "qScaleAndZeros": (torch.randn([k // group, n, 2], generator=g.torch) * 0.1).to(dtype),
    }


@case("cpu__dyn_quant_pack_4bit_weight", draws=20)
def pack_4bit(g: Generator) -> dict[str, Any]:
    """Weights and scales of columns, or of groups."""
    n, group = g.choice([1, 5, 32]), g.choice([32, 64])
    k = group * g.choice([1, 2])
    return {
        "weights": torch.randint(0, 256, [n, k // 2], generator=g.torch, dtype=torch.uint8),
        "scales_zeros": torch.rand([n * (k // group)], generator=g.torch),
        "bias": None,
        "block_size": group,
        "in_features": k,
        "out_features": n,
    }


@case("cpu__dyn_quant_matmul_4bit", draws=60, check=near)
def matmul_4bit(g: Generator) -> dict[str, Any]:
    """Rows that are quantised on the way."""
    how = pack_4bit(g)
    packed = torch.ops.aten._dyn_quant_pack_4bit_weight(*how.values())
    return {
        "inp": torch.randn([g.choice([1, 3, 8]), how["in_features"]], generator=g.torch),
        "packed_weights": packed,
        **{name: how[name] for name in ("block_size", "in_features", "out_features")},
    }


def scaled(g: Generator) -> dict[str, Any]:
    """Both sides of eight-bit floats."""
    m, n, k = g.choice([1, 5, 16]), 16 * g.integer(1, 4), 16 * g.integer(1, 5)
    dtype = g.choice([torch.float8_e4m3fn, torch.float8_e5m2])
    out_dtype = g.choice([torch.float32, torch.bfloat16, torch.float16, dtype])
    narrows = out_dtype == dtype
    by_row = g.chance(0.3)
    return {
        "self": torch.randn([m, k], generator=g.torch).to(dtype),
        "mat2": torch.randn([n, k], generator=g.torch).to(dtype).t(),
        "scale_a": torch.rand([m, 1], generator=g.torch) + 0.1 if by_row else torch.tensor(0.5),
        "scale_b": torch.rand([1, n], generator=g.torch) + 0.1 if by_row else torch.tensor(1.5),
        "bias": g.choice([None, torch.randn([n], generator=g.torch).to(torch.bfloat16 if narrows else out_dtype)]),
        "scale_result": g.choice([None, torch.tensor(g.choice([0.25, 3.0]))]),
        "out_dtype": out_dtype,
        "use_fast_accum": False,
    }


@case("cpu__scaled_mm", draws=60, check=near)
def scaled_mm(g: Generator) -> dict[str, Any]:
    """Into a wider type."""
    return scaled(g)


@case("cpu__scaled_mm_out", draws=30, check=near)
def scaled_mm_out(g: Generator) -> dict[str, Any]:
    """The same, into a tensor that is there."""
    how = scaled(g)
    return {"out": torch.empty([how["self"].shape[0], how["mat2"].shape[1]], dtype=how["out_dtype"]), **how}
