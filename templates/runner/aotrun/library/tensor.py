"""Outputs of a model: memory that belongs to the caller, shared with other libraries without a copy."""

from __future__ import annotations

import ctypes
import sys
from ctypes import c_char_p, c_int, c_void_p, py_object

from aotrun.arrays.array import c_strides, count, unpack
from aotrun.arrays.dtypes import by_code
from aotrun.library import ffi

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Optional, Tuple

    from aotrun.arrays.dtypes import DType


class Tensor:
    """One output.

    `numpy.asarray(t)`, `torch.from_dlpack(t)` and (Python 3.12+) `memoryview(t)` share its memory and keep it alive.
    Memory is freed when the last of them goes. On a GPU, DLPack is the way to share; `tolist` and `numpy` copy.
    """

    __slots__ = ("__weakref__", "_facts", "_free", "_library", "_pointer")

    def __init__(self, library: Any, free: Any, pointer: int) -> None:
        self._library = library
        self._free = free
        self._pointer = pointer
        self._facts: Optional[Tuple[ffi.View, DType, Tuple[int, ...]]] = None

    def __del__(self) -> None:
        self._free(self._pointer)

    def __reduce_ex__(self, _protocol: Any) -> Any:
        # Two objects with one pointer would both free it.
        raise TypeError(f"{self!r} is memory of this process's runtime: numpy.array(t) and t.tolist() are copies of it")

    def __repr__(self) -> str:
        device = "" if self.device == "cpu" else f", device={self.device}"
        return f"Tensor(shape={self.shape}, dtype={self.dtype.name}{device})"

    def _described(self) -> Tuple[ffi.View, DType, Tuple[int, ...]]:
        # Read when first asked for: most callers hand a tensor on without looking.
        if self._facts is None:
            view = ffi.View.from_address(self._library.aot_tensor_view(self._pointer))
            self._facts = view, by_code(view.dtype.code, view.dtype.bits), tuple(view.shape[: view.ndim])
        return self._facts

    @property
    def _view(self) -> ffi.View:
        return self._described()[0]

    @property
    def dtype(self) -> DType:
        """Element type; its `name` is torch's."""
        return self._described()[1]

    @property
    def shape(self) -> Tuple[int, ...]:
        """Sizes."""
        return self._described()[2]

    @property
    def strides(self) -> Tuple[int, ...]:
        """In elements."""
        view = self._view
        return tuple(view.strides[: view.ndim]) if view.strides else c_strides(self.shape)

    @property
    def device(self) -> str:
        """`cpu`, `cuda:0`, `rocm:1`, ..."""
        device = self._view.device
        name = ffi.DEVICE_NAMES.get(device.type, f"device{device.type}")
        return name if device.type == ffi.CPU else f"{name}:{device.index}"

    @property
    def nbytes(self) -> int:
        """Size of the elements."""
        return count(self.shape) * self.dtype.itemsize

    @property
    def _address(self) -> int:
        view = self._view
        address: int = (view.data or 0) + view.byte_offset
        return address

    @property
    def _on_host_in_order(self) -> bool:
        view, _, shape = self._described()
        if view.device.type != ffi.CPU:
            return False
        if not view.strides:
            return True
        want = 1
        for size, step in zip(reversed(shape), reversed(view.strides[: view.ndim])):
            if step != want and size != 1:
                return 0 in shape
            want *= size
        return True

    def contiguous(self) -> memoryview:
        """The elements' bytes in C order in host memory: shared when they lie so, copied otherwise."""
        size = self.nbytes
        if self._on_host_in_order:
            buffer = (ctypes.c_char * size).from_address(self._address)
            buffer.owner = self  # type: ignore[attr-defined]
        else:
            buffer = (ctypes.c_char * size)()
            ffi.check(self._library, self._library.aot_tensor_copy(self._pointer, buffer, size))
        return memoryview(buffer).cast("B") if size else memoryview(b"")

    def to_bytes(self) -> bytes:
        """The same bytes, in memory of Python's."""
        if self._on_host_in_order:
            return ctypes.string_at(self._address, self.nbytes)
        return bytes(self.contiguous())

    def flat(self) -> List[Any]:
        """All elements in C order as Python numbers, a flat list."""
        return unpack(self.dtype, self.contiguous())

    def tolist(self) -> Any:
        """Elements as nested lists, or one number for a tensor without dims."""
        values: List[Any] = self.flat()
        for axis in range(len(self.shape) - 1, 0, -1):
            size = self.shape[axis]
            values = [values[row * size : (row + 1) * size] for row in range(count(self.shape[:axis]))]
        return values if self.shape else values[0]

    def numpy(self) -> Any:
        """A NumPy array: of the same memory on the CPU, a copy from a GPU. bfloat16 arrives as `V2` (see DType)."""
        import numpy as np  # only for those who have it

        if self._view.device.type == ffi.CPU:
            return np.asarray(self)
        return np.frombuffer(self.contiguous(), self.dtype.typestr).reshape(self.shape)

    @property
    def __array_interface__(self) -> Dict[str, Any]:
        view, dtype, shape = self._described()
        if view.device.type != ffi.CPU:
            raise AttributeError("__array_interface__: the tensor is not in host memory; use DLPack or numpy()")
        steps = view.strides[: view.ndim] if view.strides else None
        return {
            "version": 3,
            "typestr": dtype.typestr,
            "shape": shape,
            "strides": None if steps is None else tuple([step * dtype.itemsize for step in steps]),
            "data": (self._address, False),
        }

    def __buffer__(self, flags: int) -> memoryview:
        view = self.contiguous() if self._on_host_in_order else memoryview(b"")
        try:
            # Neither shapes with a zero in them, nor types without a letter, nor float16 in all Pythons.
            return view.cast(self.dtype.format, self.shape)  # type: ignore[call-overload, no-any-return]
        except (TypeError, ValueError):  # NumPy then asks for the interface
            raise BufferError(f"{self!r} is no memory that memoryview describes; use numpy() or DLPack") from None

    def __dlpack_device__(self) -> Tuple[int, int]:
        device = self._view.device
        return device.type, device.index

    def __dlpack__(
        self,
        *,
        stream: Any = None,  # a run has ended on the device before its outputs are here
        max_version: Optional[Tuple[int, int]] = None,  # an unversioned capsule serves all
        dl_device: Optional[Tuple[int, int]] = None,
        copy: Optional[bool] = None,
    ) -> Any:
        if copy or (dl_device is not None and tuple(dl_device) != self.__dlpack_device__()):
            raise BufferError("outputs are shared as they are: no copy and no other device")
        return _export(self)


# ---- DLPack export -----------------------------------------------------------------------------------------------

#: Exported tensors that a consumer still holds, by the address of their DLManagedTensor.
_exported: Dict[int, Tuple[Tensor, ffi.Managed, Any]] = {}
#: Capsules that nobody has taken yet, as far as is known: each with the address that it holds.
_offered: List[Tuple[Any, int]] = []

# Prototypes of our own: the functions of ctypes.pythonapi are shared with every other package of the process.
_new_capsule = ctypes.PYFUNCTYPE(py_object, c_void_p, c_char_p, c_void_p)(("PyCapsule_New", ctypes.pythonapi))
_is_valid = ctypes.PYFUNCTYPE(c_int, py_object, c_char_p)(("PyCapsule_IsValid", ctypes.pythonapi))
_NAME = b"dltensor"


def _delete(managed: int) -> None:
    _exported.pop(managed, None)


#: DLPack's deleter may be called on any thread without the interpreter lock.
_deleter = ctypes.CFUNCTYPE(None, c_void_p)(_delete)


def _holders(offer: Tuple[Any, int]) -> int:
    return sys.getrefcount(offer[0])


#: Of a capsule that nobody but its offer holds; how this is counted differs between Pythons.
_ALONE = _holders((object(), 0))


def _drop_refused() -> None:
    """Let go of tensors that no consumer has taken, nor will.

    A capsule's own destructor cannot do it: a consumer that refuses a tensor (NumPy does bfloat16) lets go of it with
    its error pending, which no Python code may run with. So capsules are kept, and looked at when the next one is made.
    """
    for _ in range(len(_offered)):
        try:
            offer = _offered.pop(0)
        except IndexError:  # other threads do the same
            return
        if not _is_valid(offer[0], _NAME):  # renamed by whoever took it, whose call of the deleter ends it
            continue
        if _holders(offer) > _ALONE:
            _offered.append(offer)
        else:
            _exported.pop(offer[1], None)


def _export(tensor: Tensor) -> Any:
    """A DLPack capsule that shares the tensor's memory; the tensor lives until its consumer is done."""
    _drop_refused()
    view = tensor._view
    steps = (ctypes.c_int64 * len(tensor.shape))(*tensor.strides)  # consumers differ on NULL strides
    managed = ffi.Managed()
    managed.tensor = view
    managed.tensor.strides = ctypes.cast(steps, ctypes.POINTER(ctypes.c_int64))
    managed.deleter = ctypes.cast(_deleter, c_void_p)
    address = ctypes.addressof(managed)
    _exported[address] = (tensor, managed, steps)
    capsule = _new_capsule(address, _NAME, None)
    _offered.append((capsule, address))
    return capsule
