"""The element types of tensors, in the notations that meet here: torch, DLPack, NumPy's typestr and struct's format."""

from __future__ import annotations

from aotrun.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, Tuple


class DType:
    """One element type.

    Attributes:
        name: torch's name without `torch.`, as in signatures and in JSON.
        code, bits: DLPack's type code and the bits of one element.
        typestr: NumPy's, little endian. NumPy has no bfloat16 of its own: it travels as `<V2`, which is what
            `ml_dtypes.bfloat16` arrays are saved as; view them with `array.view(ml_dtypes.bfloat16)`.
        format: struct's, or "" where it has none.
    """

    __slots__ = ("bits", "code", "format", "itemsize", "name", "typestr")

    def __init__(self, name: str, code: int, bits: int, typestr: str, fmt: str) -> None:
        self.name = name
        self.code = code
        self.bits = bits
        self.typestr = typestr
        self.format = fmt
        self.itemsize = bits // 8

    def __repr__(self) -> str:
        return self.name

    @property
    def is_complex(self) -> bool:
        """Whether an element is a pair of floats."""
        return self.code == 5

    @property
    def is_float(self) -> bool:
        """Whether elements are rounded: float16, bfloat16, float32, float64 and the complex ones."""
        return self.code in (2, 4, 5)


_ALL = (
    DType("bool", 6, 8, "|b1", "?"),
    DType("uint8", 1, 8, "|u1", "B"),
    DType("int8", 0, 8, "|i1", "b"),
    DType("int16", 0, 16, "<i2", "h"),
    DType("int32", 0, 32, "<i4", "i"),
    DType("int64", 0, 64, "<i8", "q"),
    DType("uint16", 1, 16, "<u2", "H"),
    DType("uint32", 1, 32, "<u4", "I"),
    DType("uint64", 1, 64, "<u8", "Q"),
    DType("float16", 2, 16, "<f2", "e"),
    DType("bfloat16", 4, 16, "<V2", ""),
    DType("float32", 2, 32, "<f4", "f"),
    DType("float64", 2, 64, "<f8", "d"),
    DType("complex64", 5, 64, "<c8", ""),
    DType("complex128", 5, 128, "<c16", ""),
)

BY_NAME: Dict[str, DType] = {dtype.name: dtype for dtype in _ALL}
BY_CODE: Dict[Tuple[int, int], DType] = {(dtype.code, dtype.bits): dtype for dtype in _ALL}
BY_TYPESTR: Dict[str, DType] = {dtype.typestr: dtype for dtype in _ALL}
# One byte has no order, and void never has one: writers differ in what they say.
BY_TYPESTR.update({"<b1": BY_NAME["bool"], "<u1": BY_NAME["uint8"], "<i1": BY_NAME["int8"]})
BY_TYPESTR.update({"|V2": BY_NAME["bfloat16"], "bfloat16": BY_NAME["bfloat16"]})

#: Formats of the buffer protocol beyond struct's native ones.
BY_FORMAT: Dict[str, DType] = {dtype.format: dtype for dtype in _ALL if dtype.format}
BY_FORMAT.update({"l": BY_NAME["int64"], "L": BY_NAME["uint64"], "Zf": BY_NAME["complex64"]})
BY_FORMAT.update({"Zd": BY_NAME["complex128"]})


def by_code(code: int, bits: int) -> DType:
    """The type of a DLPack code. Raises UsageError for one that torch models cannot take."""
    try:
        return BY_CODE[code, bits]
    except KeyError:
        raise UsageError(
            f"element type with DLPack code {code} and {bits} bits",
            "A bundle takes and returns others.",
            f"Convert to one of: {', '.join(BY_NAME)}.",
        ) from None
