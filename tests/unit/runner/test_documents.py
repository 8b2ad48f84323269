"""The runner's JSON: the array form both ways, and documents that any parser reads."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from aotrun.arrays.array import Array, pack, unpack
from aotrun.arrays.dtypes import BY_NAME, BY_TYPESTR
from aotrun.errors import UsageError
from aotrun.formats.documents import dumps, form, nested, read_arrays
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

DTYPES = sorted(dtype.typestr for dtype in BY_NAME.values() if dtype.name != "bfloat16")
ARRAYS = st.sampled_from(DTYPES).flatmap(lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, min_side=0)))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def one(text: str) -> Array:
    array = read_arrays(text.encode(), "x.json")
    assert isinstance(array, Array)
    return array


@given(JSON)
def test_documents_are_json(document: Any) -> None:
    assert json.loads(dumps(document)) == document


def test_bytes_of_file_names_that_are_no_text() -> None:
    assert json.loads(dumps("a\udcff")) == "a?"


@given(ARRAYS)
def test_the_form_brings_back_every_bit(array: Any) -> None:
    dtype = BY_TYPESTR[array.dtype.str]
    text = dumps(form(dtype, array.shape, unpack(dtype, array.tobytes())))
    assert set(json.loads(text)) == {"data", "shape", "dtype"}
    got = one(text)
    back = np.frombuffer(bytes(got.data), got.dtype.typestr).reshape(got.shape)
    assert np.array_equal(back, array, equal_nan=array.dtype.kind in "fc")


@given(ARRAYS)
def test_reads_nested_lists(array: Any) -> None:
    if array.dtype.kind == "c" or not np.isfinite(array.astype("c16")).all():
        return
    got = one(json.dumps({"data": array.tolist(), "dtype": BY_TYPESTR[array.dtype.str].name}))
    if 0 not in array.shape:
        assert got.shape == array.shape
    assert bytes(got.data) == array.tobytes()


@given(st.floats(width=32))
def test_bfloat16_rounds_to_nearest_even(value: float) -> None:
    """Against a definition: of the two neighbours the nearer one, and of two as near the even one."""
    bits = int(np.float32(value).view("u4"))
    low, high = bits & 0xFFFF0000, (bits & 0xFFFF0000) + 0x10000
    got = int.from_bytes(pack(BY_NAME["bfloat16"], [value]), "little") << 16
    if math.isnan(value):
        assert math.isnan(unpack(BY_NAME["bfloat16"], pack(BY_NAME["bfloat16"], [value]))[0])
    elif bits - low != high - bits:
        assert got == (low if bits - low < high - bits else high)
    else:
        assert got == (low if low >> 16 & 1 == 0 else high)


def test_numbers_that_json_lacks() -> None:
    data = [math.nan, math.inf, -math.inf, 0.10000000149011612]
    text = dumps(form(BY_NAME["float32"], (4,), data))
    assert '["NaN", "Infinity", "-Infinity", 0.100000001]' in text
    values = one(text).tolist()
    assert math.isnan(values[0])
    assert values[1:3] == [math.inf, -math.inf]


def test_complex_numbers_are_pairs() -> None:
    array = one('{"data": [[1, -2], [0.5, "NaN"]], "shape": [2], "dtype": "complex64"}')
    assert array.shape == (2,)
    assert array.tolist()[0] == 1 - 2j
    assert one('{"data": [[[1, -2]]], "dtype": "complex128"}').shape == (1, 1)


def test_several_arrays_by_name() -> None:
    text = '{"ids": {"data": [1], "dtype": "int64"}, "mask": {"data": [true, false], "dtype": "bool"}}'
    arrays = read_arrays(text.encode(), "x.json")
    assert isinstance(arrays, dict)
    assert {name: array.tolist() for name, array in arrays.items()} == {"ids": [1], "mask": [True, False]}


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "x.json"),
        ("{", "x.json"),
        ("[" * 100_000, "x.json"),
        ("1", "no array"),
        ("[1, 2]", "no array"),
        ("{}", "no array"),
        ('{"data": [1], "dtype": "float32", "extra": 1}', "extra"),
        ('{"shape": [1], "dtype": "float32"}', "no array"),
        ('{"data": [1], "dtype": "float31"}', "float31"),
        ('{"data": [1], "dtype": ["float32"]}', "float32"),
        ('{"data": [1, 2], "shape": [3], "dtype": "float32"}', "takes 3 elements"),
        ('{"data": [[1, 2]], "shape": [2, 1], "dtype": "float32"}', "takes 2 elements"),
        ('{"data": [1], "shape": [-1], "dtype": "float32"}', "shape"),
        ('{"data": [1], "shape": [true], "dtype": "float32"}', "shape"),
        ('{"data": [1], "shape": 1, "dtype": "float32"}', "shape"),
        ('{"data": [[1], [1, 2]], "dtype": "float32"}', "different lengths at depth 2"),
        ('{"data": [[1], 2], "dtype": "float32"}', "different lengths"),
        ('{"data": ["1"], "dtype": "float32"}', "does not fit float32"),
        ('{"data": [null], "dtype": "float32"}', "does not fit float32"),
        ('{"data": [{}], "dtype": "int8"}', "does not fit int8"),
        ('{"data": [300], "dtype": "uint8"}', "does not fit uint8"),
        ('{"data": [-1], "dtype": "uint64"}', "does not fit uint64"),
        ('{"data": [1.5], "dtype": "int32"}', "does not fit int32"),
        ('{"data": [70000], "dtype": "float16"}', "does not fit float16"),
        ('{"data": [1e39], "dtype": "float32"}', "does not fit float32"),
        ('{"data": [1e39], "dtype": "bfloat16"}', "does not fit bfloat16"),
        ('{"data": [2], "dtype": "bool"}', "does not fit bool"),
        ('{"data": ["NaN"], "dtype": "int8"}', "does not fit int8"),
        ('{"data": [[1, "x"]], "dtype": "complex64"}', "does not fit complex64"),
        ('{"data": [' + "9" * 5000 + '], "dtype": "int64"}', "x.json"),
    ],
)
def test_refused(text: str, word: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_arrays(text.encode(), "x.json")
    assert len(str(caught.value).splitlines()) == 3
    assert word in str(caught.value)


@pytest.mark.parametrize("numbers", [[0.5, -1, 3], [0, 0, 0]])
def test_numbers_without_a_header_are_told_as_such(numbers: list[float]) -> None:
    """What numpy.memmap and array.tofile write."""
    with pytest.raises(UsageError, match=r"x\.bin: no text, and nothing in it says of which type") as caught:
        read_arrays(np.array(numbers, "f4").tobytes(), "x.bin")
    assert "numpy.fromfile('x.bin', 'float32').reshape(SHAPE)" in str(caught.value)


@given(ARRAYS)
def test_nested_numbers_of_python_are_the_array(array: Any) -> None:
    dtype = BY_TYPESTR[array.dtype.str]
    got = nested(array.tolist(), dtype, "input x")
    if 0 not in array.shape:
        assert got.shape == array.shape
    back = np.frombuffer(bytes(got.data), got.dtype.typestr)
    assert np.array_equal(back, array.reshape(-1), equal_nan=array.dtype.kind in "fc")


def test_numbers_of_python_that_are_no_array() -> None:
    float32, int64 = BY_NAME["float32"], BY_NAME["int64"]
    assert nested(((1, 2), (3, 4)), float32, "input x").shape == (2, 2)
    assert nested(3, int64, "input x").shape == ()
    for wrong, dtype, message in (([[1], [1, 2]], float32, "different lengths"), ([1.5], int64, "does not fit int64")):
        with pytest.raises(UsageError, match=message):
            nested(wrong, dtype, "input x")


def test_a_list_that_holds_itself_is_no_array() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(UsageError, match="lists in lists without end"):
        nested(endless, BY_NAME["float32"], "input x")
