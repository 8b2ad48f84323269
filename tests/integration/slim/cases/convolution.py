"""Arguments for convolutions."""

from __future__ import annotations

import math
from typing import Any

import torch
from slim_harness import Generator, Packed, case

from .matrix_products import POINTWISE

#: Where oneDNN has no instructions for it, torch packs no such weights, and lays results out otherwise.
BFLOAT16 = torch.bfloat16 if torch.ops.mkldnn._is_mkldnn_bf16_supported() else torch.float32


def convolution(g: Generator, spatial: int, *, transposed: bool, dtype: torch.dtype) -> dict[str, Any]:
    """Input, weight and bias that fit together, and how to convolve."""
    groups = g.choice([1, 1, 1, 2, 4])
    inputs, outputs = groups * g.choice([1, 2, 3, 8]), groups * g.choice([1, 2, 5, 16])
    kernel = [g.choice([1, 2, 3]) for _ in range(spatial)]
    dilation = [g.choice([1, 1, 2]) for _ in range(spatial)]
    size = [g.choice([5, 6, 9, 12]) for _ in range(spatial)]
    shape = [inputs, outputs // groups] if transposed else [outputs, inputs // groups]

    def tensor(sizes: list[int]) -> torch.Tensor:
        return g.arranged(torch.randn(sizes, generator=g.torch).to(dtype))

    stride = [g.choice([1, 1, 2, 3]) for _ in range(spatial)]
    return {
        "input": tensor([g.choice([1, 2, 3]), inputs, *size]),
        "weight": tensor([*shape, *kernel]),
        "bias": g.choice([None, tensor([outputs])]),
        "stride": stride,
        "padding": [g.choice([0, 0, 1, 2]) for _ in range(spatial)],
        "dilation": dilation,
        "transposed": transposed,
        "output_padding": [
            g.integer(0, max(s, d) - 1) if transposed else 0 for s, d in zip(stride, dilation, strict=True)
        ],
        "groups": groups,
    }


@case("cpu_convolution", draws=200, tolerance=32)
def plain(g: Generator) -> dict[str, Any]:
    """One, two and three dims, transposed or not."""
    dtype = g.choice([torch.float32, torch.float32, torch.float32, torch.float64, BFLOAT16, torch.float16])
    return convolution(g, g.choice([1, 2, 2, 3]), transposed=g.chance(0.3), dtype=dtype)


@case("cpu_convolution", draws=40, tolerance=32, serves_more=True)
def bias_of_another_dtype(g: Generator) -> dict[str, Any]:
    """Torch takes it or not, by who convolves."""
    dtype = g.choice([torch.float32, torch.float64])
    how = convolution(g, 2, transposed=g.chance(0.2), dtype=dtype)
    other = torch.float32 if dtype == torch.float64 else torch.float64
    channels = how["weight"].shape[1] * how["groups"] if how["transposed"] else how["weight"].shape[0]
    return {**how, "bias": torch.randn([channels], generator=g.torch).to(other)}


def pointwise(g: Generator, *, transposed: bool = False) -> dict[str, Any]:
    """The arguments of a fused convolution without what is fused."""
    how = convolution(g, 2, transposed=transposed, dtype=torch.float32)
    del how["transposed"]
    if not transposed:
        del how["output_padding"]
    last, bias = torch.channels_last, how.pop("bias")
    return {
        "X": how.pop("input").contiguous(memory_format=last),
        "W": how.pop("weight").contiguous(),
        "B": None if bias is None else bias.contiguous(),  # torch reads it as if it were
        **how,
    }


@case("cpu_mkldnn__convolution_pointwise", draws=100, tolerance=64)
def unary(g: Generator) -> dict[str, Any]:
    """Each function that Inductor fuses."""
    attr, scalars, algorithm = g.choice(POINTWISE)
    return {**pointwise(g), "attr": attr, "scalars": scalars, "algorithm": algorithm}


@case("cpu_mkldnn__convolution_pointwise_binary", draws=60, tolerance=64)
def binary(g: Generator) -> dict[str, Any]:
    """Added to another tensor, a relu behind it at times."""
    how = pointwise(g)
    x, w = how["X"], how["W"]
    result = torch.nn.functional.conv2d(x, w, None, how["stride"], how["padding"], how["dilation"], how["groups"])
    other = torch.randn(result.shape, generator=g.torch).contiguous(memory_format=torch.channels_last)
    relu = g.chance(0.5)
    return {
        **how,
        "other": other,
        "binary_attr": "add",
        "alpha": g.choice([None, 1.0]),
        "unary_attr": "relu" if relu else None,
        "unary_scalars": [],
        "unary_algorithm": None,
    }


@case("cpu_mkldnn__convolution_pointwise_binary_", draws=30, tolerance=64)
def binary_in_place(g: Generator) -> dict[str, Any]:
    """The same, into the other tensor."""
    return binary(g)


@case("cpu_mkldnn__convolution_transpose_pointwise", draws=60, tolerance=64)
def transposed_unary(g: Generator) -> dict[str, Any]:
    """A transposed convolution with each function; the output is not padded beyond the crop of the input."""
    attr, scalars, algorithm = g.choice(POINTWISE)
    how = pointwise(g, transposed=True)
    how["output_padding"] = [min(o, p) for o, p in zip(how["output_padding"], how["padding"], strict=True)]
    # Inductor hands over the weight as oneDNN numbers it.
    return {**how, "attr": attr, "scalars": scalars, "algorithm": algorithm}


def packed_convolution(g: Generator, by_torch: torch.Tensor, weight: torch.Tensor, groups: int) -> Packed:
    """A weight [groups, out, in, ...] as torch packs it, or in the panels of a slim bundle where it can be."""
    plain = weight if groups > 1 else weight[0]
    columns = 1 if groups > 1 else 0
    depth = columns + 1
    if groups > 1 and plain.shape[1:3] == (1, 1) and plain.dtype == torch.float32:
        columns = 0
    elif plain.shape[depth] * plain.itemsize % 4 and math.prod(plain.shape[depth + 1 :]) > 1:
        return Packed.of(by_torch)  # channels of a tap are not filled up
    return Packed.in_panels(by_torch, plain, columns, depth) if g.chance(0.5) else Packed.of(by_torch)


def packed(g: Generator, *, transposed: bool) -> dict[str, Any]:
    """The same with a weight as a model has it: in oneDNN's order, for one group or several, wide enough for blocks."""
    dtype = g.choice([torch.float32, torch.float32, BFLOAT16])
    spatial = g.choice([2, 2, 3])
    groups = g.choice([1, 1, 2, 4, 16, 33])
    inputs, outputs = ([1], [1]) if groups > 4 else ([1, 3, 16, 24], [1, 5, 16, 40])
    inner, outer = g.choice(inputs), g.choice(outputs)
    sizes = [g.choice([4, 5, 9]) for _ in range(spatial)]
    kernel = [g.choice([1, 2, 3]) for _ in range(spatial)]
    dilation, stride = ([g.choice([1, 1, 2]) for _ in range(spatial)] for _ in range(2))
    padding = [g.choice([0, 1]) for _ in range(spatial)]
    output_padding = [min(p, g.choice([0, 1])) if transposed else 0 for p in padding]
    x = torch.randn([g.choice([1, 2]), groups * inner, *sizes], generator=g.torch).to(dtype)
    shape = [groups * inner, outer] if transposed else [groups * outer, inner]
    weight = torch.randn([*shape, *kernel], generator=g.torch).to(dtype)
    grouped = weight.unflatten(0, (groups, -1))
    how = [padding, *([output_padding] if transposed else []), stride, dilation, groups, list(x.shape)]
    mkldnn = torch.ops.mkldnn
    pack = mkldnn._reorder_convolution_transpose_weight if transposed else mkldnn._reorder_convolution_weight
    attr, scalars, algorithm = g.choice(POINTWISE)
    return {
        "X": x.contiguous(memory_format=torch.channels_last if spatial == 2 else torch.channels_last_3d),
        "W": packed_convolution(g, pack(weight, *how), grouped.transpose(1, 2) if transposed else grouped, groups),
        "B": g.choice([None, torch.randn([groups * outer], generator=g.torch).to(dtype)]),
        "padding": padding,
        **({"output_padding": output_padding} if transposed else {}),
        "stride": stride,
        "dilation": dilation,
        "groups": groups,
        "attr": attr,
        "scalars": scalars,
        "algorithm": algorithm,
    }


@case("cpu_mkldnn__convolution_pointwise", draws=120, tolerance=128)
def packed_unary(g: Generator) -> dict[str, Any]:
    """Packed weights."""
    return packed(g, transposed=False)


@case("cpu_mkldnn__convolution_transpose_pointwise", draws=80, tolerance=128)
def packed_transposed_unary(g: Generator) -> dict[str, Any]:
    """Packed weights, transposed."""
    return packed(g, transposed=True)
