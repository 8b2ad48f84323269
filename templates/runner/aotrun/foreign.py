"""Other libraries' arrays as borrowed views: no copy, whatever holds the memory.

Tried in this order: `__array_interface__` (NumPy), `__dlpack__` (torch, JAX, CuPy, ...), the buffer protocol
(array.array, memoryview, bytes).
"""

from __future__ import annotations

import ctypes
from ctypes import POINTER, c_char_p, c_int, c_int64, c_ssize_t, c_void_p, py_object

from aotrun._ffi import CPU, CUDA, ROCM, View
from aotrun.arrays import Array
from aotrun.dtypes import BY_FORMAT, BY_TYPESTR, DType
from aotrun.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, List, Optional, Tuple

_INT64_POINTER = POINTER(c_int64)


class _PyBuffer(ctypes.Structure):
    """CPython's Py_buffer."""

    _fields_ = [
        ("buf", c_void_p),
        ("obj", c_void_p),
        ("len", c_ssize_t),
        ("itemsize", c_ssize_t),
        ("readonly", c_int),
        ("ndim", c_int),
        ("format", c_char_p),
        ("shape", POINTER(c_ssize_t)),
        ("strides", POINTER(c_ssize_t)),
        ("suboffsets", POINTER(c_ssize_t)),
        ("internal", c_void_p),
    ]


# Prototypes of our own: the functions of ctypes.pythonapi are shared with every other package of the process.
_get_buffer = ctypes.PYFUNCTYPE(c_int, py_object, c_void_p, c_int)(("PyObject_GetBuffer", ctypes.pythonapi))
_release_buffer = ctypes.PYFUNCTYPE(None, c_void_p)(("PyBuffer_Release", ctypes.pythonapi))
_capsule_pointer = ctypes.PYFUNCTYPE(c_void_p, py_object, c_char_p)(("PyCapsule_GetPointer", ctypes.pythonapi))
_PYBUF_RECORDS_RO = 0x18 | 0x4  # strides and format, read-only will do


class Borrowed:
    """The views of one call's inputs. Kept between calls: the same shapes again cost an address each."""

    __slots__ = ("_keep", "_keys", "_slots", "views")

    def __init__(self, count: int) -> None:
        self.views = (View * count)()
        self._slots = [self.views[index] for index in range(count)]
        #: What a slot describes: (typestr, shape, strides) of the last array that came through `__array_interface__`.
        self._keys: List[Optional[Tuple[Any, ...]]] = [None] * count
        #: What owns the memory that a slot points to, until the next call or `release`.
        self._keep: List[Any] = [None] * count

    def set(self, index: int, value: Any, name: str) -> None:
        """Make slot `index` a view of `value`. Raises UsageError when it is no array."""
        try:
            interface = value.__array_interface__
        except AttributeError:
            self._keys[index] = None
            self._set_other(index, value, name)
            return
        pointer = interface["data"]
        key = (interface["typestr"], interface["shape"], interface.get("strides"))
        if pointer is None:
            self._keys[index] = None
            self._set_buffer(index, value, name)
            return
        slot = self._slots[index]
        if key != self._keys[index]:
            self._keys[index] = None
            typestr, shape, strides = key
            dtype = BY_TYPESTR.get(typestr)
            if dtype is None:
                raise _no_dtype(name, typestr)
            self._describe(slot, index, dtype, shape, _in_elements(strides, dtype.itemsize, name))
            self._keys[index] = key
        slot.data = pointer[0]

    def release(self) -> None:
        """Let go of what was borrowed through DLPack or the buffer protocol."""
        for index, key in enumerate(self._keys):
            if key is None:
                self._keep[index] = None

    def _describe(
        self, slot: View, index: int, dtype: DType, shape: Tuple[int, ...], strides: Optional[Tuple[int, ...]]
    ) -> None:
        sizes = (c_int64 * len(shape))(*shape)
        steps = None if strides is None else (c_int64 * len(shape))(*strides)
        slot.device.type = CPU
        slot.device.index = 0
        slot.ndim = len(shape)
        slot.dtype.code = dtype.code
        slot.dtype.bits = dtype.bits
        slot.dtype.lanes = 1
        slot.shape = ctypes.cast(sizes, _INT64_POINTER)
        slot.strides = None if steps is None else ctypes.cast(steps, _INT64_POINTER)
        slot.byte_offset = 0
        self._keep[index] = (sizes, steps)

    def _set_other(self, index: int, value: Any, name: str) -> None:
        if isinstance(value, Array):
            buffer = (ctypes.c_char * len(value.data)).from_buffer(value.data)
            self._describe(self._slots[index], index, value.dtype, value.shape, value.strides)
            self._slots[index].data = ctypes.addressof(buffer)
            self._keep[index] = (self._keep[index], buffer)
        elif hasattr(value, "__dlpack__"):
            capsule = _export(value, name)
            # The capsule stays ours: never renamed, it frees its tensor itself when it goes.
            ctypes.memmove(ctypes.byref(self._slots[index]), _capsule_pointer(capsule, b"dltensor"), ctypes.sizeof(View))
            self._keep[index] = capsule
        else:
            self._set_buffer(index, value, name)

    def _set_buffer(self, index: int, value: Any, name: str) -> None:
        buffer = _Buffer(value, name)
        self._describe(self._slots[index], index, buffer.dtype, buffer.shape, buffer.strides)
        self._slots[index].data = buffer.address
        self._keep[index] = (self._keep[index], buffer)


class _Buffer:
    """A hold on an object's memory through the buffer protocol, also when it is read-only."""

    def __init__(self, value: Any, name: str) -> None:
        self._raw = _PyBuffer()
        self._held = False
        try:
            _get_buffer(value, ctypes.byref(self._raw), _PYBUF_RECORDS_RO)
        except (TypeError, BufferError):
            raise UsageError(
                f"input {name} is a {type(value).__name__}",
                "An input is an array: NumPy, torch, anything with __dlpack__ or the buffer protocol.",
                "Pass numpy.asarray(value, dtype), or array.array.",
            ) from None
        self._held = True
        raw = self._raw
        text = (raw.format or b"B").decode("ascii", "replace").lstrip("@=<")
        dtype = BY_FORMAT.get(text)
        if dtype is None or dtype.itemsize != raw.itemsize:
            raise _no_dtype(name, text)
        self.dtype = dtype
        self.address = raw.buf
        self.shape = tuple(raw.shape[: raw.ndim])
        self.strides = _in_elements(tuple(raw.strides[: raw.ndim]), dtype.itemsize, name) if raw.strides else None

    def __del__(self) -> None:
        if self._held:
            _release_buffer(ctypes.byref(self._raw))


def _export(value: Any, name: str) -> Any:
    """A DLPack capsule of `value`, its pending device work ordered before the default stream."""
    device = value.__dlpack_device__()[0]
    try:
        if device == CUDA:
            return value.__dlpack__(stream=1)
        if device == ROCM:
            return value.__dlpack__(stream=0)
        return value.__dlpack__()
    except (BufferError, RuntimeError, TypeError) as error:
        raise UsageError(
            f"input {name}: {error}",
            f"This {type(value).__name__} does not hand out its memory.",
            "Pass x.detach(), or a copy.",
        ) from error


def _in_elements(strides: Optional[Tuple[int, ...]], itemsize: int, name: str) -> Optional[Tuple[int, ...]]:
    if strides is None:
        return None
    if any(stride % itemsize for stride in strides):
        raise UsageError(
            f"input {name}: strides {strides} of {itemsize}-byte elements",
            "Elements lie at odd distances, as in a field of a record array.",
            "Pass a copy: numpy.ascontiguousarray(x).",
        )
    return tuple(stride // itemsize for stride in strides)


def _no_dtype(name: str, what: str) -> UsageError:
    return UsageError(
        f"input {name}: elements of type {what!r}",
        "No torch model takes them, or their bytes are in big-endian order.",
        "Convert first: x.astype('float32').",
    )
