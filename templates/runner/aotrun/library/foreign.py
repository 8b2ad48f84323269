"""Other libraries' arrays as borrowed views: no copy, whatever holds the memory.

Tried in this order: `__dlpack__` (torch, NumPy, JAX, CuPy, ...), `__array_interface__` (NumPy arrays that are read-only
or of a type that DLPack lacks), the buffer protocol (array.array, memoryview, bytes). Lists of numbers are copied.
"""

from __future__ import annotations

import ctypes
from ctypes import POINTER, c_char_p, c_int, c_int64, c_size_t, c_ssize_t, c_void_p, py_object

from aotrun.arrays.array import Array, c_strides
from aotrun.arrays.dtypes import BY_FORMAT, BY_TYPESTR, DType
from aotrun.errors import UsageError
from aotrun.formats.documents import nested
from aotrun.library.ffi import CPU, CUDA, ROCM, View

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, List, Optional, Sequence, Tuple

    from aotrun.arrays.signature import Spec

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


class _Address(c_void_p):
    """What a function returns as itself, ready to be an argument: c_void_p would become an int."""


# Without argtypes, which are looked up for each argument of each call: what is passed are objects of ctypes.
_capsule_pointer = ctypes.PyDLL(None)["PyCapsule_GetPointer"]
_capsule_pointer.restype = _Address
_copy = ctypes.PyDLL(None)["memmove"]
_NAME = c_char_p(b"dltensor")
_VIEW_SIZE = c_size_t(ctypes.sizeof(View))
_PYBUF_RECORDS_RO = 0x18 | 0x4  # strides and format, read-only will do


class Views:
    """Room for the views of one call's inputs, which are those of `specs`; kept between calls."""

    __slots__ = ("_addresses", "_array", "_slots", "_specs")

    def __init__(self, specs: Sequence[Spec]) -> None:
        self._specs = specs
        self._array = (View * len(specs))()
        self._slots = [self._array[index] for index in range(len(specs))]
        self._addresses = [c_void_p(ctypes.addressof(slot)) for slot in self._slots]

    def borrow(self, values: Sequence[Any], keep: List[Any]) -> Any:
        """Make the views those of `values`, as many as there is room for.

        Raises UsageError for what is no array, and for what is read-only where the model writes.

        Returns the address of the first one; adds to `keep` what must stay alive while they are in use.
        """
        for index, given in enumerate(values):
            if type(given) is Array:  # our own has no protocol to ask for
                keep.append(_borrow_array(self._slots[index], given))
                continue
            settle = _SETTLERS[type(given)]
            value = given if settle is None else settle(given, self._specs[index])
            try:
                capsule = value.__dlpack__() if value.__dlpack_device__()[0] == CPU else _from_device(value)
                view = _capsule_pointer(py_object(capsule), _NAME)
            except Exception as error:  # noqa: BLE001  (of other people's code)
                keep.append(_describe(self._slots[index], value, self._specs[index], error))
                continue
            # The capsule stays ours: never renamed, it frees its tensor itself when it goes.
            keep.append(capsule)
            if len(values) == 1:
                return view  # where it is
            _copy(self._addresses[index], view, _VIEW_SIZE)
        return self._array


class _Settlers(dict):  # type: ignore[type-arg]
    """By type of value: what is to be done before its memory says all. None for most; looked up once a type."""

    def __missing__(self, kind: type) -> Optional[Callable[[Any, Spec], Any]]:
        known: Optional[Callable[[Any, Spec], Any]] = None
        if hasattr(kind, "resolve_conj") and hasattr(kind, "resolve_neg"):
            known = _resolved
        elif hasattr(kind, "mask") and hasattr(kind, "filled"):
            known = _unmasked
        self[kind] = known
        return known


def _resolved(value: Any, spec: Spec) -> Any:
    """A torch tensor without a conjugation or a negation that it leaves to its readers: no protocol speaks of them."""
    if not (value.is_neg() or value.is_conj()):
        return value
    if spec.mutated:
        raise UsageError(
            f"input {spec.name} is a lazily conjugated or negated view",
            "The model writes into it in place, and its memory holds other numbers than it shows.",
            "Pass x.resolve_conj().resolve_neg().",
        )
    return value.resolve_conj().resolve_neg()


def _unmasked(value: Any, spec: Spec) -> Any:
    """A masked array of NumPy that masks nothing."""
    if value.mask.any():
        raise UsageError(
            f"input {spec.name} is a masked array",
            "A model knows no masks: it would compute with what lies below.",
            "Pass x.filled(value).",
        )
    return value


_SETTLERS = _Settlers()


def _from_device(value: Any) -> Any:
    """A DLPack capsule of GPU memory, its pending work ordered before the default stream."""
    device = value.__dlpack_device__()[0]
    if device == CUDA:
        return value.__dlpack__(stream=1)
    return value.__dlpack__(stream=0) if device == ROCM else value.__dlpack__()


def _borrow_array(slot: View, array: Array) -> Any:
    """Fill a view of an array of ours; returns what keeps its memory alive."""
    data = array.data
    first = ctypes.c_char.from_buffer(data) if len(data) else None
    return first, _fill(slot, 0 if first is None else ctypes.addressof(first), array.dtype, array.shape, array.strides)


def _describe(slot: View, value: Any, spec: Spec, why_not_dlpack: Exception) -> Any:
    """Fill a view of something that DLPack does not give; returns what keeps its memory alive."""
    name = spec.name
    if isinstance(value, (list, tuple, bool, int, float, complex)):
        return _borrow_array(slot, _of_numbers(value, spec))
    # NumPy refuses DLPack for what is read-only; its own protocol tells all the same.
    interface = getattr(value, "__array_interface__", None)
    if interface is not None and interface.get("data") is not None:
        dtype = BY_TYPESTR.get(interface["typestr"])
        if dtype is None:
            raise _no_dtype(name, interface["typestr"])
        strides = _in_elements(interface.get("strides"), dtype.itemsize, name)
        address, is_read_only = interface["data"]
        sizes = _fill(slot, address, dtype, interface["shape"], strides)
        return value, sizes, _writable(slot, spec, dtype) if is_read_only else None
    if hasattr(value, "__dlpack__"):
        raise UsageError(
            f"input {name}: {why_not_dlpack}",
            f"This {type(value).__name__} does not hand out its memory.",
            "Pass x.detach(), or a copy.",
        )
    buffer = _Buffer(value, name)
    sizes = _fill(slot, buffer.address, buffer.dtype, buffer.shape, buffer.strides)
    return buffer, sizes, _writable(slot, spec, buffer.dtype) if buffer.is_read_only else None


def _of_numbers(value: Any, spec: Spec) -> Array:
    """The array of (nested) lists of Python numbers, of the type that the model takes."""
    if spec.dtype is None or spec.mutated:
        raise UsageError(
            f"input {spec.name} is a {type(value).__name__}",
            "The model writes into it in place, as its Python code does."
            if spec.mutated
            else "The package does not say which type of element the model takes.",
            "Pass an array: numpy.asarray(value, dtype).",
        )
    return nested(value, spec.dtype, f"input {spec.name}")


def _writable(slot: View, spec: Spec, dtype: DType) -> Any:
    """Let a view of read-only memory be of a copy where the package does not say whether the model writes there."""
    if spec.mutated is False:
        return None
    if spec.mutated:
        raise UsageError(
            f"input {spec.name} is read-only",
            "The model writes into it in place, as its Python code does.",
            "Pass an array that may be written to, such as a copy: x.copy().",
        )
    shape = slot.shape[: slot.ndim]
    strides = slot.strides[: slot.ndim] if slot.strides else c_strides(shape)
    if 0 in shape or min(strides, default=0) < 0:
        return None  # nothing to write to, or what the model will refuse
    last = sum((size - 1) * step for size, step in zip(shape, strides))
    copy = ctypes.create_string_buffer(ctypes.string_at(slot.data, (last + 1) * dtype.itemsize))
    slot.data = ctypes.addressof(copy)
    return copy


def _fill(slot: View, address: int, dtype: DType, shape: Sequence[int], strides: Optional[Sequence[int]]) -> Any:
    """Fill a view of host memory; returns the sizes it points to."""
    rank = len(shape)
    sizes = (c_int64 * rank)(*shape)
    steps = None if strides is None else (c_int64 * rank)(*strides)
    slot.data = address
    slot.device.type = CPU
    slot.device.index = 0
    slot.ndim = rank
    slot.dtype.code = dtype.code
    slot.dtype.bits = dtype.bits
    slot.dtype.lanes = 1
    slot.shape = ctypes.cast(sizes, _INT64_POINTER)
    slot.strides = None if steps is None else ctypes.cast(steps, _INT64_POINTER)
    slot.byte_offset = 0
    return sizes, steps


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
                "An input is an array (NumPy, torch, what has __dlpack__ or the buffer protocol) or a list of numbers.",
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
        self.is_read_only = bool(raw.readonly)
        self.shape = tuple(raw.shape[: raw.ndim])
        self.strides = _in_elements(tuple(raw.strides[: raw.ndim]), dtype.itemsize, name) if raw.strides else None

    def __del__(self) -> None:
        if self._held:
            _release_buffer(ctypes.byref(self._raw))


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
        "A bundle takes none such, or their bytes are in big-endian order.",
        "Convert first: x.astype('float32').",
    )
