"""Arrays without NumPy: a dtype, a shape and bytes."""

from __future__ import annotations

import struct

from aotrun.arrays.dtypes import BY_NAME, DType
from aotrun.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, List, Optional, Protocol, Sequence, Tuple, Union

    Buffer = Union[bytes, bytearray, memoryview]

    class Elements(Protocol):
        """What can be written down, wherever it lies: an output of a model."""

        @property
        def dtype(self) -> DType: ...
        @property
        def shape(self) -> Tuple[int, ...]: ...
        def contiguous(self) -> memoryview: ...
        def flat(self) -> List[Any]: ...


class Array:
    """Numbers in host memory.

    Attributes:
        dtype: element type.
        shape: sizes.
        strides: in elements, or None for C order.
        data: the elements, little endian.
    """

    __slots__ = ("data", "dtype", "shape", "strides")

    def __init__(
        self, dtype: DType, shape: Tuple[int, ...], data: Buffer, strides: Optional[Tuple[int, ...]] = None
    ) -> None:
        self.dtype = dtype
        self.shape = shape
        self.data = data
        self.strides = strides

    def tolist(self) -> List[Any]:
        """All elements in memory order as Python numbers, flat. Complex ones are complex."""
        return unpack(self.dtype, self.data)


def count(shape: Sequence[int]) -> int:
    """Number of elements."""
    total = 1
    for size in shape:
        total *= size
    return total


def fortran_strides(shape: Sequence[int]) -> Tuple[int, ...]:
    """Strides, in elements, of an array whose first index runs fastest."""
    strides = []
    step = 1
    for size in shape:
        strides.append(step)
        step *= size
    return tuple(strides)


def c_strides(shape: Sequence[int]) -> Tuple[int, ...]:
    """Strides, in elements, of an array whose last index runs fastest."""
    return fortran_strides(shape[::-1])[::-1]


def swap_bytes(data: Buffer, width: int) -> bytearray:
    """The same numbers of `width` bytes in the other byte order."""
    swapped = bytearray(len(data))
    for index in range(width):
        swapped[index::width] = data[width - 1 - index :: width]
    return swapped


def unpack(dtype: DType, data: Buffer) -> List[Any]:
    """Elements as Python numbers."""
    raw = bytes(data) if dtype.name == "bfloat16" else memoryview(data).cast("B")
    size = len(raw) // dtype.itemsize
    if dtype.format:
        return list(struct.unpack(f"<{size}{dtype.format}", raw))
    if dtype.is_complex:
        parts = struct.unpack(f"<{2 * size}{'f' if dtype.bits == 64 else 'd'}", raw)
        return list(map(complex, parts[0::2], parts[1::2]))
    # bfloat16 is the upper half of a float32.
    wide = bytearray(4 * size)
    wide[2::4] = raw[0::2]
    wide[3::4] = raw[1::2]
    return list(struct.unpack(f"<{size}f", wide))


def pack(dtype: DType, values: Sequence[Any]) -> bytearray:
    """The bytes of Python numbers. Raises struct.error, OverflowError or TypeError when one does not fit the type."""
    size = len(values)
    if dtype.is_complex:
        parts = [part for value in values for part in (complex(value).real, complex(value).imag)]
        return bytearray(struct.pack(f"<{2 * size}{'f' if dtype.bits == 64 else 'd'}", *parts))
    if dtype.name == "bool" and any(value not in (0, 1) for value in values):
        raise TypeError("a bool is true, false, 1 or 0")
    if dtype.format:
        return bytearray(struct.pack(f"<{size}{dtype.format}", *values))
    rounded = bytearray()
    for (bits,) in struct.iter_unpack("<I", struct.pack(f"<{size}f", *values)):
        # To nearest, ties to even; a NaN stays one.
        upper = bits >> 16 | 0x40 if bits & 0x7FFFFFFF > 0x7F800000 else (bits + 0x7FFF + (bits >> 16 & 1)) >> 16
        rounded += struct.pack("<H", upper)
    return rounded


def dtype_named(name: object, origin: str) -> DType:
    """The type of a name from outside. Raises UsageError."""
    dtype = BY_NAME.get(name) if isinstance(name, str) else None
    if dtype is None:
        raise UsageError(
            f"{origin}: dtype {name!r}", "There is no such element type.", f"Use one of: {', '.join(BY_NAME)}."
        )
    return dtype
