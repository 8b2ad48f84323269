"""Arguments for views, and for what makes and joins tensors."""

from __future__ import annotations

from typing import Any

import torch
from slim_harness import ALL, DTYPES, Generator, case


@case("cpu_permute")
def permute(g: Generator) -> dict[str, Any]:
    """Now and then a dim twice."""
    x = g.tensor(ALL)
    order = g.random.sample(range(x.dim()), x.dim())
    if order and g.chance(0.2):
        order[0] -= x.dim() if g.chance(0.8) else 1
    return {"self": x, "dims": order}


@case("cpu_slice_Tensor", draws=100)
def slice_(g: Generator) -> dict[str, Any]:
    """Any start and end, beyond the dim too."""
    x = g.tensor(ALL)
    start, end = (None if g.chance(0.2) else g.integer(-20, 20) for _ in range(2))
    return {"self": x, "dim": g.dim(x), "start": start, "end": end, "step": g.integer(0 if g.chance(0.1) else 1, 4)}


@case("cpu_squeeze_dim")
def squeeze(g: Generator) -> dict[str, Any]:
    """Sizes of 1 and others."""
    x = g.tensor(ALL)
    return {"self": x, "dim": g.dim(x)}


@case("cpu_narrow")
@case("aten_narrow")
def narrow(g: Generator) -> dict[str, Any]:
    """Now and then beyond the dim."""
    x = g.tensor(ALL)
    return {"self": x, "dim": g.dim(x), "start": g.integer(-2, 6), "length": g.integer(0, 4)}


@case("cpu_reshape", draws=100)
def reshape(g: Generator) -> dict[str, Any]:
    """Factors in another order, merged at times, one of them unknown at times."""
    x = g.tensor(ALL, g.shape(empty=g.chance(0.3)))
    shape = g.random.sample(list(x.shape), x.dim())
    if len(shape) > 1 and g.chance(0.5):
        shape = [shape[0] * shape[1], *shape[2:]]
    if shape and g.chance(0.3):
        shape[g.integer(0, len(shape) - 1)] = -1
    if g.chance(0.3):
        shape.append(1)
    return {"self": x, "shape": shape}


@case("cpu_view_dtype", draws=100)
def view_dtype(g: Generator) -> dict[str, Any]:
    """Wider, narrower and equal elements. Bytes that are no bool stay out."""
    integers = (torch.int8, torch.int16, torch.int32, torch.int64)
    x = g.tensor((*integers, torch.complex64), g.shape(empty=False, large=False))
    return {"self": x, "dtype": g.choice(integers)}


@case("cpu_view_as_complex")
def view_as_complex(g: Generator) -> dict[str, Any]:
    """Pairs, of strides that fit or not."""
    shape = [*g.shape(large=False), 2 if g.chance(0.9) else 3]
    x = g.tensor((torch.float32, torch.float64), shape)
    return {"self": x}


@case("cpu_view_as_real")
def view_as_real(g: Generator) -> dict[str, Any]:
    """Complex numbers, and some that are not."""
    return {"self": g.tensor((torch.complex64, torch.complex128, torch.complex64, torch.float32))}


@case("cpu_cat", draws=150)
def cat(g: Generator) -> dict[str, Any]:
    """Mixed dtypes and layouts, empty ones, and now and then a wrong size."""
    shape = g.shape((1, 2, 3, 4, 4, 4), large=False)
    dim = g.integer(0, len(shape) - 1)
    dtype = g.choice(ALL)
    tensors = []
    for _ in range(g.integer(1, 4)):
        sizes = [g.integer(0, 4) if d == dim or g.chance(0.01) else size for d, size in enumerate(shape)]
        tensors.append(g.tensor(dtype if g.chance(0.9) else ALL, [0] if g.chance(0.1) else sizes))
    return {"tensors": tensors, "dim": dim - (len(shape) if g.chance(0.3) else 0)}


@case("cpu_pad", draws=200, serves_more=True)
@case("aten_pad", draws=60, serves_more=True)
def pad(g: Generator) -> dict[str, Any]:
    """All modes; margins that cut; now and then too many. Torch refuses some empty results, but not all."""
    mode = g.choice(["constant", "reflect", "replicate", "circular"])
    shape = g.shape((2, 3, 4, 5), large=False, empty=mode == "constant")
    x = g.tensor(ALL if mode == "constant" else (torch.float32, torch.float64, torch.bfloat16), shape)
    rank = g.integer(0 if mode == "constant" else 1, len(shape) if mode == "constant" else min(3, len(shape) - 1))
    low = -2 if g.chance(0.3) and mode != "circular" else 0  # torch repeats what it cut away there
    widths = [g.integer(low, 3) for _ in range(2 * rank)]
    return {"self": x, "pad": widths, "mode": mode, "value": g.choice([None, 1.0]) if mode == "constant" else None}


@case("copy_", draws=300, tolerance=0)
def copy_(g: Generator) -> dict[str, Any]:
    """Every dtype into every other, broadcast. Floats that an integer does not hold may become anything."""
    wanted, given = (g.choice(list(DTYPES.values())) for _ in range(2))
    shape = g.shape()
    part = [1 if g.chance(0.2) else size for size in shape[g.integer(0, len(shape)) if g.chance(0.3) else 0 :]]
    source, narrow = given, given.itemsize == 1 and given.is_floating_point
    if given in (torch.int64, torch.uint64) or narrow:  # of which torch fills few in by itself
        source = torch.float32 if narrow else torch.int64
    x = g.values(part, source, special=False if narrow or not (wanted.is_floating_point or wanted.is_complex) else None)
    if source == torch.int64 and x.numel() and g.chance(0.5):
        # Right beside the middle between two floats, so near that not even a double is there.
        where = torch.randint(0, x.numel(), (1 + x.numel() // 4,), generator=g.torch)
        x.view(-1)[where] = 2**60 + g.choice([2**36 + 1, 3 * 2**36 - 1])
    if source.is_floating_point and not wanted.is_floating_point:
        x = x.abs()
    return {"self": g.tensor(wanted, shape, expanded=False, special=False), "src": g.arranged(x.to(given))}


@case("cpu_fill__Scalar", serves_more=True)
@case("aten_fill__Scalar", serves_more=True)
def fill(g: Generator) -> dict[str, Any]:
    """In place, gaps untouched. Torch refuses what the dtype cannot hold."""
    return {"self": g.tensor(ALL, expanded=False), "value": g.choice([0.0, 1.0, -2.0, 3.7])}


@case("aten_full")
def full(g: Generator) -> dict[str, Any]:
    """Any dtype."""
    return {"size": g.shape(), "fill_value": g.choice([0.0, 2.0]), "dtype": g.choice(ALL)}


@case("aten_new_zeros")
def new_zeros(g: Generator) -> dict[str, Any]:
    """The dtype of another tensor, or one's own."""
    return {"self": g.tensor(ALL), "size": g.shape(), "dtype": g.choice([None, *ALL])}


case("aten_new_empty", check=lambda _, got, expected: None if got[0].shape == expected[0].shape else "shapes differ")(
    new_zeros
)


@case("cpu__efficientzerotensor")
def efficient_zeros(g: Generator) -> dict[str, Any]:
    """Any dtype."""
    return {"size": g.shape(), "dtype": g.choice(ALL)}


@case("cpu_resize_")
def resize(g: Generator) -> dict[str, Any]:
    """Smaller, as borrowed memory cannot grow; or larger, which fails."""
    x = g.tensor(ALL, g.shape(empty=False), expanded=False)
    sizes = [g.integer(1, size) for size in x.shape[g.integer(0, 1) :]] if g.chance(0.8) else [1000000]
    return {"self": x, "size": list(x.shape) if g.chance(0.2) else sizes, "memory_format": g.choice([None, 0])}


@case("cpu_resize_as_")
def resize_as(g: Generator) -> dict[str, Any]:
    """To the sizes of another tensor."""
    x = g.tensor(ALL, g.shape(empty=False), expanded=False)
    smaller = g.tensor(ALL, [g.integer(1, size) for size in x.shape[g.integer(0, 1) :]])
    return {"self": x, "the_template": smaller, "memory_format": g.choice([None, 0])}


@case("cpu_set__source_Tensor")
def set_(g: Generator) -> dict[str, Any]:
    """Of the same dtype: between others torch reinterprets bytes."""
    dtype = g.choice(ALL)
    return {"self": g.tensor(dtype), "source": g.tensor(dtype)}
