"""JSON in and out: arrays as `{"data": [...], "shape": [...], "dtype": "float32"}`, and documents for scripts.

`data` is flat in C order; nested lists are read as well, and then `shape` may be left out. Without `dtype` it is what
the model takes. A complex number is `[re, im]`.
NaN and the infinities are the strings "NaN", "Infinity" and "-Infinity": JSON has no numbers for them.
"""

from __future__ import annotations

import struct

from aotrun.arrays.array import Array, count, dtype_named, pack
from aotrun.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Sequence, Tuple, Union

    from aotrun.arrays.dtypes import DType
    from aotrun.arrays.signature import Spec

#: Grows when a field of a document on stdout changes meaning; new fields may appear without it.
SCHEMA = 1

#: The strings that stand for what JSON has no numbers for.
NON_FINITE = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}
#: Digits that bring back the same number.
_DIGITS = {"float16": 5, "bfloat16": 4, "float32": 9, "complex64": 9}
_FORM = '{"data": [1, 2], "shape": [2], "dtype": "float32"}'
#: Those of a terminal, too: JSON asks for the first 32 alone.
_CONTROL = {code: f"\\u{code:04x}" for code in (*range(32), *range(127, 160))}
_ESCAPES = str.maketrans({**_CONTROL, ord('"'): '\\"', ord("\\"): "\\\\", ord("\n"): "\\n", ord("\t"): "\\t"})


class Raw(str):
    """Text that is JSON already."""


def dumps(value: Any) -> str:
    """A document as one line of JSON. The json module would cost a third of the time of a whole run to import."""
    if isinstance(value, Raw):
        return value
    if isinstance(value, str):
        # Unpaired surrogates stand for bytes of file names that are no UTF-8.
        return '"' + value.translate(_ESCAPES).encode("utf-8", "replace").decode("utf-8") + '"'
    if value is None or isinstance(value, bool):
        return "null" if value is None else "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{dumps(key)}: {dumps(item)}" for key, item in value.items()) + "}"
    return "[" + ", ".join(map(dumps, value)) + "]"


def numbers(dtype: DType, values: Sequence[Any]) -> Raw:
    """Elements as a flat JSON list."""
    if not values:
        return Raw("[]")
    if dtype.name == "bool":
        return Raw("[" + ", ".join("true" if value else "false" for value in values) + "]")
    if not dtype.is_float:
        return Raw("[" + ", ".join(map(str, values)) + "]")
    if dtype.is_complex:
        parts = [part for value in values for part in (value.real, value.imag)]
        pieces = _float_texts(dtype.name, parts)
        return Raw("[" + ", ".join(f"[{re}, {im}]" for re, im in zip(pieces[0::2], pieces[1::2])) + "]")
    return Raw("[" + ", ".join(_float_texts(dtype.name, values)) + "]")


def _float_texts(name: str, values: Sequence[float]) -> List[str]:
    digits = _DIGITS.get(name)
    texts = list(map(f"%.{digits}g".__mod__, values)) if digits else list(map(repr, values))
    return [_finite(text) if "n" in text else text for text in texts]


def _finite(text: str) -> str:
    return {"nan": '"NaN"', "-nan": '"NaN"', "inf": '"Infinity"', "-inf": '"-Infinity"'}[text]


def form(dtype: DType, shape: Sequence[int], values: Sequence[Any]) -> Dict[str, Any]:
    """The JSON form of an array."""
    return {"data": numbers(dtype, values), "shape": list(shape), "dtype": dtype.name}


class Untyped:
    """A JSON form that does not say of which type its elements are: they are of the type that the model takes."""

    def __init__(self, document: Dict[str, Any], origin: str) -> None:
        self._document = document
        self._origin = origin

    def as_array(self, spec: Spec) -> Array:
        """The array that an input takes. Raises UsageError when nobody says of which type that is."""
        dtype = spec.dtype
        if dtype is None:
            raise UsageError(
                f"{self._origin}: no dtype, and the model does not say what it takes",
                "The package has no signature to take the type from.",
                f"Write it as {_FORM}.",
            )
        return _array(self._document, dtype, self._origin)


def read_arrays(text: bytes, origin: str) -> Union[Array, Untyped, Dict[str, Union[Array, Untyped]]]:
    """The array of a JSON form, or the arrays of an object of names and forms. Raises UsageError."""
    import json

    if not text.strip():
        raise UsageError(f"{origin}: empty", "There are no numbers in it.", f"Write it as {_FORM}.")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        from aotrun.formats.kinds import recognised

        known = recognised(text, origin)
        if known is None and (isinstance(error, UnicodeDecodeError) or b"\0\0" in text):
            raise UsageError(
                f"{origin}: no text, and nothing in it says of which type and shape its numbers are",
                "It is none of .npy, .npz, JSON and .wav; numpy.memmap and array.tofile write numbers alone.",
                f"Make an array of it: numpy.save('x.npy', numpy.fromfile({origin!r}, 'float32').reshape(SHAPE)).",
            ) from None
        raise UsageError(
            f"{origin}: {known[0] if known else error or type(error).__name__}",
            "It is none of .npy, .npz, JSON and .wav, and what its numbers are to the model is not known here."
            if known
            else "It is none of .npy, .npz, JSON and .wav.",
            known[1] if known else f"Write it with numpy.save(file, array), or as {_FORM}.",
        ) from None
    if isinstance(document, dict) and "data" in document:
        return _form(document, origin)
    if isinstance(document, dict) and document and all(isinstance(item, dict) for item in document.values()):
        return {name: _form(item, f"{origin}[{name}]") for name, item in document.items()}
    raise UsageError(
        f"{origin}: JSON, but no array",
        "An array has data, shape and dtype; several are an object of names and arrays.",
        f"Write it as {_FORM}.",
    )


def _form(document: Dict[str, Any], origin: str) -> Union[Array, Untyped]:
    extra = sorted(set(document) - {"data", "shape", "dtype"})
    if extra or "data" not in document:
        keys = ", ".join(document) or "none"
        raise UsageError(f"{origin}: keys {keys}", "An array has data, dtype and shape.", f"Write it as {_FORM}.")
    if "dtype" not in document:
        return Untyped(document, origin)
    return _array(document, dtype_named(document["dtype"], origin), origin)


def nested(data: Any, dtype: DType, origin: str) -> Array:
    """The array of nested lists or tuples of Python numbers, or of one number. Raises UsageError."""
    try:
        lists = _as_lists(data)
    except RecursionError:  # a list that holds itself, say
        raise UsageError(
            f"{origin}: lists in lists without end",
            "An array has a level of lists for each of its dims.",
            "Give as many levels as the model's input has dims.",
        ) from None
    values, shape = _packed(lists, dtype, origin)
    return Array(dtype, shape, values)


def _as_lists(data: Any) -> Any:
    return [_as_lists(item) for item in data] if isinstance(data, (list, tuple)) else data


def _packed(data: Any, dtype: DType, origin: str) -> Tuple[bytearray, Tuple[int, ...]]:
    """Bytes and sizes of nested lists. Raises UsageError."""
    try:
        values, shape = _flatten(data, dtype, origin)
        return pack(dtype, values), shape
    except UsageError:
        raise
    except (struct.error, OverflowError, TypeError, ValueError) as error:
        raise UsageError(
            f"{origin}: data does not fit {dtype.name}: {error}",
            "Every element must be a number that the type can hold.",
            "Change the data or the dtype.",
        ) from None


def _array(document: Dict[str, Any], dtype: DType, origin: str) -> Array:
    data, nesting = _packed(document["data"], dtype, origin)
    elements = count(nesting)
    shape = document.get("shape", list(nesting))
    if not isinstance(shape, list) or not all(type(size) is int and size >= 0 for size in shape):
        raise UsageError(f"{origin}: shape {shape!r}", "A shape is a list of sizes.", f"Write it as {_FORM}.")
    if count(shape) != elements or (len(nesting) > 1 and nesting != tuple(shape)):
        raise UsageError(
            f"{origin}: shape {shape} takes {count(shape)} elements, data has {list(nesting)}",
            "Data and shape disagree.",
            "Give data flat in C order, or nested as shape says.",
        )
    return Array(dtype, tuple(shape), data)


def _flatten(data: Any, dtype: DType, origin: str) -> Tuple[List[Any], Tuple[int, ...]]:
    """Flat values and the sizes of the nesting. A complex number is a pair and not a level of nesting."""
    shape: List[int] = []
    level = [data]
    while level and isinstance(level[0], list):
        sizes = {len(item) if isinstance(item, list) else -1 for item in level}
        if len(sizes) > 1:
            raise UsageError(
                f"{origin}: lists of different lengths at depth {len(shape) + 1}",
                "An array is rectangular.",
                "Give data flat in C order, with its shape.",
            )
        shape.append(sizes.pop())
        level = [value for item in level for value in item]
    if dtype.is_complex and shape and shape[-1] == 2 and not any(isinstance(value, complex) for value in level):
        shape.pop()
        level = [complex(_number(re), _number(im)) for re, im in zip(level[0::2], level[1::2])]
    elif dtype.is_float:
        level = [_number(value) for value in level]
    return level, tuple(shape)


def _number(value: Any) -> Any:
    return NON_FINITE.get(value, value) if isinstance(value, str) else value
