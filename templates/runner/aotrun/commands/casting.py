"""Inputs of the command line as the model takes them: the type of JSON that names none, and what `--cast` converts."""

from __future__ import annotations

import struct

from aotrun.arrays.array import Array, pack
from aotrun.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from aotrun.arrays.dtypes import DType
    from aotrun.arrays.signature import Spec
    from aotrun.formats.files import Content


def fitted(value: Content, spec: Spec, *, cast: bool) -> Array:
    """An input as the model takes it. Raises UsageError.

    Args:
        value: from a file.
        spec: what the model says of this input.
        cast: convert numbers of another type; otherwise that is an error.
    """
    array = value if isinstance(value, Array) else value.as_array(spec)
    wanted = spec.dtype
    if wanted is None or array.dtype is wanted:
        return array
    if not cast:
        raise UsageError(
            f"input {spec.name} is {array.dtype.name}, the model takes {wanted.name}",
            "Nothing is converted unasked: numbers may be rounded on the way.",
            f"Add --cast, or save it as the model takes it: numpy.save(file, x.astype('{wanted.name}')).",
        )
    return _cast(array, wanted, spec.name)


def _cast(array: Array, wanted: DType, name: str) -> Array:
    """The same numbers in another type, rounded where that has fewer digits."""
    loses = "an imaginary part" if array.dtype.is_complex else "what is behind the point"
    if wanted.name == "bool" and not array.dtype.is_complex and not array.dtype.is_float:
        # Any number but 0 would do, and 2 would be true: which numbers are meant is asked instead.
        odd = next((value for value in array.tolist() if value not in (0, 1)), None)
        if odd is not None:
            raise UsageError(
                f"input {name} is {array.dtype.name} and holds {odd}, the model takes bool",
                "--cast converts 0 and 1 alone: what other numbers would mean as a yes or no is not known.",
                "Say how, and save the result: numpy.save(file, x != 0).",
            )
    if (array.dtype.is_complex and not wanted.is_complex) or (array.dtype.is_float and not wanted.is_float):
        raise UsageError(
            f"input {name} is {array.dtype.name}, the model takes {wanted.name}",
            f"--cast does not convert that: {loses} would be lost.",
            f"Say how, and save the result: numpy.save(file, x.astype('{wanted.name}')).",
        )
    try:
        data = pack(wanted, array.tolist())
    except (struct.error, OverflowError, TypeError) as error:
        raise UsageError(
            f"input {name}: not all of its {array.dtype.name} numbers fit {wanted.name}: {error}",
            "--cast rounds, but it does not cut off what is too large.",
            "Bring the numbers into the type's range first.",
        ) from None
    return Array(wanted, array.shape, data, array.strides)
