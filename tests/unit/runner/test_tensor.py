"""A model's outputs through every door: whatever their rank, dtype and strides, NumPy and plain Python see the same."""

from __future__ import annotations

import copy
import ctypes
import pickle
import sys
from typing import Any

import numpy as np
import pytest
from aotrun.arrays.dtypes import BY_NAME, DType
from aotrun.library import ffi
from aotrun.library import tensor as tensor_module
from aotrun.library.tensor import Tensor
from hypothesis import example, given
from hypothesis import strategies as st


class Library:
    """A double of the bridge's library: outputs that lie in a NumPy array, as it would describe and copy them."""

    def __init__(self, array: Any, dtype: DType) -> None:
        self.array = array
        rank = array.ndim
        self._shape = (ctypes.c_int64 * rank)(*array.shape)
        self._strides = (ctypes.c_int64 * rank)(*(step // dtype.itemsize for step in array.strides))
        self._view = ffi.View(
            array.ctypes.data,
            ffi.Device(ffi.CPU, 0),
            rank,
            ffi.DataType(dtype.code, dtype.bits, 1),
            ctypes.cast(self._shape, ctypes.POINTER(ctypes.c_int64)),
            ctypes.cast(self._strides, ctypes.POINTER(ctypes.c_int64)),
            0,
        )

    def aot_tensor_view(self, _pointer: int) -> int:
        return ctypes.addressof(self._view)

    def aot_tensor_copy(self, _pointer: int, destination: Any, size: int) -> int:
        content = self.array.tobytes()
        assert len(content) == size
        ctypes.memmove(destination, content, size)
        return 0


def test_one_object_owns_the_memory() -> None:
    array = np.zeros((2, 3), np.float32)
    freed: list[int] = []
    tensor = Tensor(Library(array, BY_NAME["float32"]), freed.append, 7)
    for way in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="tolist"):
            way(tensor)
    assert freed == []
    del tensor
    assert freed == [7]


def is_memoryviews(letter: str) -> bool:
    """Whether this Python's memoryview describes such elements: not all know float16."""
    try:
        memoryview(bytes(8)).cast(letter)  # type: ignore[call-overload]
    except ValueError:
        return False
    return True


FORMATS = {dtype.format for dtype in BY_NAME.values() if dtype.format and is_memoryviews(dtype.format)}


def tensor_of(array: Any, dtype: DType) -> Tensor:
    return Tensor(Library(array, dtype), lambda _pointer: None, 1)


#: One axis: its size, the elements from one of its elements to the next in the memory's own axis, and where they begin.
AXES = st.lists(st.tuples(st.integers(0, 3), st.integers(1, 3), st.integers(0, 2)), max_size=5)


@st.composite
def outputs(draw: st.DrawFn) -> tuple[DType, Any]:
    """An array of any rank and dtype: views with steps, permuted, expanded, beginning anywhere."""
    dtype = draw(st.sampled_from(sorted(BY_NAME.values(), key=str)))
    axes = draw(AXES)
    memory_shape = tuple(begin + max(size * step, 1) for size, step, begin in axes)
    elements = int(np.prod(memory_shape, dtype=int))
    seed = draw(st.integers(0, 2**16))
    raw = np.random.default_rng(seed).integers(0, 2 if dtype.name == "bool" else 256, elements * dtype.itemsize)
    memory = np.frombuffer(raw.astype(np.uint8).tobytes(), dtype.typestr).copy().reshape(memory_shape)
    view = memory[(*(slice(begin, begin + size * step, step) for size, step, begin in axes), ...)]
    view = view.transpose(draw(st.permutations(range(view.ndim))))
    for axis in range(view.ndim):
        if view.shape[axis] and draw(st.booleans()) and draw(st.booleans()):
            view = np.broadcast_to(view.take([0], axis), view.shape)
    return dtype, view


def same(left: Any, right: Any) -> bool:
    """Bit for bit: a NaN is itself."""
    return (left.shape, left.tobytes()) == (right.shape, right.tobytes())


@given(outputs())
@example((BY_NAME["float32"], np.array(1.5, np.float32)))  # without dims
@example((BY_NAME["complex64"], np.array(1 + 2j, np.complex64)))
@example((BY_NAME["bfloat16"], np.zeros((0, 3), "<V2")))
def test_every_door_shows_the_same(output: tuple[DType, Any]) -> None:
    dtype, array = output
    tensor = tensor_of(array, dtype)
    assert tensor.shape == array.shape
    assert tensor.nbytes == array.nbytes
    assert bytes(tensor.contiguous()) == array.tobytes()
    for seen in (np.asarray(tensor), np.array(tensor), tensor.numpy()):
        assert seen.dtype == np.dtype(dtype.typestr)
        assert same(seen, array)
    if array.size:
        assert np.asarray(tensor).__array_interface__["data"][0] == array.ctypes.data, "shared, not copied"


@given(outputs())
@example((BY_NAME["int64"], np.array(7)))
def test_lists_are_numpys(output: tuple[DType, Any]) -> None:
    dtype, array = output
    if dtype.name == "bfloat16":  # which NumPy has not: the upper half of a float32
        bits = np.ascontiguousarray(array).view(np.uint16).reshape(array.shape)
        array = (bits.astype(np.uint32) << 16).view(np.float32)
    listed = tensor_of(output[1], dtype).tolist()
    np.testing.assert_array_equal(np.array(listed, array.dtype).reshape(array.shape), array)
    np.testing.assert_equal(listed, array.tolist())


@given(outputs())
@example((BY_NAME["float64"], np.array(0.5)))
def test_dlpack_shares_what_numpy_can_take(output: tuple[DType, Any]) -> None:
    dtype, array = output
    tensor = tensor_of(array, dtype)
    if dtype.name == "bfloat16":
        with pytest.raises((BufferError, RuntimeError), match=r"(?i)unsupported"):  # NumPy's own words
            np.from_dlpack(tensor)  # type: ignore[arg-type]
        tensor_module._drop_refused()  # as the next capsule does
        assert not tensor_module._exported
        return
    seen = np.from_dlpack(tensor)  # type: ignore[arg-type]
    assert same(seen, array)
    if array.size:
        assert seen.__array_interface__["data"][0] == array.ctypes.data


@given(outputs())
@example((BY_NAME["uint8"], np.array(3, np.uint8)))
def test_the_buffer_protocol_gives_what_lies_in_order_or_refuses(output: tuple[DType, Any]) -> None:
    dtype, array = output
    tensor = tensor_of(array, dtype)
    if not (dtype.format in FORMATS and array.size and array.flags.c_contiguous):
        with pytest.raises(BufferError, match="use numpy"):
            tensor.__buffer__(0)
        return
    view = tensor.__buffer__(0)
    assert (view.shape, view.format) == (array.shape, dtype.format)
    assert view.tobytes() == array.tobytes()
    if sys.version_info >= (3, 12):
        assert memoryview(tensor).shape == array.shape  # type: ignore[arg-type]


def test_a_capsule_that_somebody_still_holds_keeps_its_tensor() -> None:
    array = np.arange(3.0)
    capsule = tensor_of(array, BY_NAME["float64"]).__dlpack__()
    other = tensor_of(array, BY_NAME["float64"]).__dlpack__()
    del other
    tensor_module._drop_refused()
    assert len(tensor_module._exported) == 1

    class Producer:
        def __dlpack__(self, **_: Any) -> Any:
            return capsule

        def __dlpack_device__(self) -> tuple[int, int]:
            return ffi.CPU, 0

    seen = np.from_dlpack(Producer())  # type: ignore[arg-type]
    tensor_module._drop_refused()
    assert (len(tensor_module._exported), len(tensor_module._offered)) == (1, 0)
    np.testing.assert_array_equal(seen, array)
    del seen
    assert not tensor_module._exported
