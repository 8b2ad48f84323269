"""Arguments for arithmetic of tensors and numbers."""

from __future__ import annotations

from typing import Any

import torch
from slim_harness import ALL, COMPLEX, FLOATS, INTEGERS, REAL, Generator, case


def broadcasting(g: Generator, a: Any, b: Any, **options: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Two tensors whose shapes broadcast."""
    shape = g.shape()

    def part() -> list[int]:
        return [1 if g.chance(0.2) else size for size in shape[g.integer(0, len(shape)) if g.chance(0.3) else 0 :]]

    x, y = g.tensor(a, part(), **options), g.tensor(b, part(), **options)
    if torch.result_type(x, y) == torch.complex32:  # which torch makes of float16 and a complex number; not served
        x, y = (t.float() if t.dtype == torch.float16 else t for t in (x, y))
    return x, y


@case("cpu_add_Tensor", draws=150, serves_more=True)
@case("aten_subtract_Tensor", draws=100, serves_more=True)
def add(g: Generator) -> dict[str, Any]:
    """Dtypes alike or mixed. Torch's shim refuses integers here, because its alpha is a double."""
    dtype = g.choice(ALL)
    a, b = broadcasting(g, dtype, dtype if g.chance(0.6) else ALL)
    return {"self": a, "other": b, "alpha": g.choice([1.0, 1.0, 2.0, 0.5])}


@case("cpu_add_Scalar")
def add_scalar(g: Generator) -> dict[str, Any]:
    """A number is a float here, so that integers become floats."""
    return {"self": g.tensor(ALL), "other": g.choice([0.5, 2.0, -1.0]), "alpha": g.choice([1.0, 2.0])}


@case("cpu_mul_Tensor", draws=150)
def mul(g: Generator) -> dict[str, Any]:
    """Dtypes alike or mixed."""
    dtype = g.choice(ALL)
    a, b = broadcasting(g, dtype, dtype if g.chance(0.6) else ALL)
    return {"self": a, "other": b}


@case("cpu_mul_Scalar")
def mul_scalar(g: Generator) -> dict[str, Any]:
    """The same."""
    return {"self": g.tensor(ALL), "other": g.choice([0.5, 2.0, -1.0])}


@case("cpu_pow_Tensor_Tensor", draws=150, tolerance=4)
def pow_(g: Generator) -> dict[str, Any]:
    """Small exponents; NaN and infinities of real numbers, as complex powers of these are libm's own affair."""
    dtype = g.choice((*REAL, *COMPLEX))
    a, b = broadcasting(g, dtype, dtype if g.chance(0.7) else REAL, special=None if not dtype.is_complex else False)
    if dtype.is_complex and not b.dtype.is_floating_point and not b.dtype.is_complex:
        b = b.clamp(-3, 3)
    return {"self": a, "exponent": b}


@case("cpu_pow_Tensor_Scalar", draws=100, tolerance=4)
def pow_scalar(g: Generator) -> dict[str, Any]:
    """The exponents that torch treats apart, and others."""
    dtype = g.choice((*REAL, *COMPLEX))
    x = g.tensor(dtype, special=None if not dtype.is_complex else False)
    return {"self": x, "exponent": g.choice([0.0, 1.0, 2.0, 3.0, 0.5, -0.5, -1.0, -2.0, 2.5])}


@case("cpu_pow_Scalar", tolerance=4)
def pow_of_number(g: Generator) -> dict[str, Any]:
    """A number to many powers."""
    x = g.tensor((*REAL, *COMPLEX), special=False)
    return {"self": g.choice([0.5, 1.0, 2.0, -1.5]), "exponent": x.clamp(-20, 20) if not x.is_complex() else x}


@case("cpu_abs")
def abs_(g: Generator) -> dict[str, Any]:
    """Every dtype that has an absolute value."""
    return {"self": g.tensor((*REAL, *COMPLEX))}


@case("cpu_angle")
def angle(g: Generator) -> dict[str, Any]:
    """Of real and complex numbers."""
    return {"self": g.tensor((*FLOATS, *INTEGERS, *COMPLEX, torch.bool))}


@case("cpu_polar")
def polar(g: Generator) -> dict[str, Any]:
    """Finite lengths and angles."""
    dtype = g.choice((torch.float32, torch.float64))
    a, b = broadcasting(g, dtype, dtype, special=False)
    return {"abs": a, "angle": b}


@case("cpu_gcd")
def gcd(g: Generator) -> dict[str, Any]:
    """Negative numbers and zeros too."""
    dtype = g.choice(INTEGERS)
    a, b = broadcasting(g, dtype, dtype if g.chance(0.7) else INTEGERS)
    return {"self": a, "other": b}
