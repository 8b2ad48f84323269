"""The runner's .npy and .npz files against NumPy's own reader and writer."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from typing import Any

import numpy as np
import pytest
from aotrun.arrays.array import Array, fortran_strides
from aotrun.arrays.dtypes import BY_NAME, BY_TYPESTR
from aotrun.errors import UsageError
from aotrun.formats.npy import NpzWriter, npy_header, read_npy, read_npz
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

DTYPES = sorted(dtype.typestr for dtype in BY_NAME.values() if dtype.name != "bfloat16")
ARRAYS = st.sampled_from(DTYPES).flatmap(lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, min_side=0)))


def saved(array: Any, version: tuple[int, int] | None = None) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.asanyarray(array), version)
    return stream.getvalue()


def read(content: bytes) -> Array:
    return read_npy(io.BytesIO(content), len(content), "x.npy")


def as_numpy(array: Array) -> Any:
    flat = np.frombuffer(bytes(array.data), array.dtype.typestr)
    order = "C" if array.strides in (None, ()) else "F"
    return flat.reshape(array.shape, order=order)


def same(left: Any, right: Any) -> bool:
    """Bit for bit, so that NaNs count."""
    return left.dtype == right.dtype and left.shape == right.shape and left.tobytes() == right.tobytes()


@given(ARRAYS, st.booleans(), st.sampled_from([(1, 0), (2, 0), (3, 0)]))
def test_reads_what_numpy_writes(array: Any, fortran: bool, version: tuple[int, int]) -> None:
    written = np.asfortranarray(array) if fortran and array.ndim else array
    got = read(saved(written, version))
    assert same(as_numpy(got), array)
    in_fortran_order = fortran and array.ndim > 1 and not written.flags.c_contiguous
    assert got.strides == (fortran_strides(array.shape) if in_fortran_order else None)


@given(ARRAYS)
def test_numpy_reads_what_it_writes(array: Any) -> None:
    header = npy_header(BY_TYPESTR[array.dtype.str], array.shape)
    assert len(header) % 64 == 0
    assert same(np.load(io.BytesIO(header + array.tobytes()), allow_pickle=False), array)


@given(ARRAYS)
def test_numbers_are_those_of_numpy(array: Any) -> None:
    values = read(saved(array)).tolist()
    back = np.array(values, array.dtype).reshape(array.shape)
    finite = np.isfinite(array) if array.dtype.kind in "fc" else np.full(array.shape, True)
    assert np.array_equal(back[finite], array[finite])


@pytest.mark.parametrize("dtype", ["i2", "u4", "i8", "f2", "f4", "f8", "c8", "c16"])
def test_big_endian_is_swapped(dtype: str) -> None:
    array = np.arange(-3, 3).astype("i8").astype(dtype).reshape(2, 3)
    assert np.array_equal(as_numpy(read(saved(array.astype(f">{dtype}")))), array)


def test_bfloat16_travels_as_void() -> None:
    bits = np.array([0x3F80, 0xC000, 0x7FC0], "<u2")  # 1, -2, NaN
    got = read(saved(bits.view("V2")))
    assert got.dtype.name == "bfloat16"
    assert got.tolist()[:2] == [1.0, -2.0]
    header = npy_header(BY_NAME["bfloat16"], (3,))
    assert np.array_equal(np.load(io.BytesIO(header + bits.tobytes())).view("<u2"), bits)


@given(st.lists(ARRAYS, min_size=1, max_size=4), st.booleans())
def test_npz_both_ways(arrays: list[Any], compressed: bool) -> None:
    names = [f"output{index}" for index in range(len(arrays) - 1)] + ["größe"]
    stream = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(stream, **dict(zip(names, arrays, strict=True)))
    stream.seek(0)
    got = read_npz(stream, "x.npz")
    assert list(got) == names
    assert all(same(as_numpy(got[name]), array) for name, array in zip(names, arrays, strict=True))

    stream = io.BytesIO()
    writer = NpzWriter(stream)
    for name, array in zip(names, arrays, strict=True):
        writer.add(name, BY_TYPESTR[array.dtype.str], array.shape, array.tobytes())
    writer.close()
    assert zipfile.ZipFile(stream).testzip() is None
    stream.seek(0)
    back = np.load(stream)
    assert list(back) == names
    assert all(same(back[name], array) for name, array in zip(names, arrays, strict=True))


def refused(content: bytes, *words: str) -> None:
    with pytest.raises(UsageError) as caught:
        read(content)
    assert caught.value.exit_code == 2
    text = str(caught.value)
    assert len(text.splitlines()) == 3
    for word in ("x.npy", *words):
        assert word in text


GOOD = saved(np.arange(6, dtype="f4").reshape(2, 3))


@given(st.integers(0, len(GOOD) - 1))
def test_truncated(length: int) -> None:
    refused(GOOD[:length])


@given(st.binary(max_size=300))
def test_anything_behind_the_magic(content: bytes) -> None:
    try:
        read(b"\x93NUMPY" + content)
    except UsageError as error:
        assert len(str(error).splitlines()) == 3  # noqa: PT017  most are refused; none may fail otherwise


def with_header(text: str, data: bytes = b"") -> bytes:
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode("latin-1") + data


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{'descr': '<f4'}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), 'more': 1}",
        "{'descr': '<f4', 'fortran_order': 0, 'shape': (2,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (True,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': 2}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1.5,)}",
        "{'descr': ['<f4'], 'fortran_order': False, 'shape': (2,)}",
        "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,)}",
        "{'descr': '<M8[s]', 'fortran_order': False, 'shape': (1,)}",
        "{'descr': '<U4', 'fortran_order': False, 'shape': (1,)}",
        "{'descr': '>b2', 'fortran_order': False, 'shape': (1,)}",
        "{'descr': open('/etc/passwd'), 'fortran_order': False, 'shape': (2,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (9**9,)}",
        "{[]: 1}",
        "(" * 5000,
        "-" * 9000 + "1",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (" + "1," * 65 + ")}",
        "\x00",
    ],
)
def test_wrong_header(text: str) -> None:
    refused(with_header(text, b"\0" * 8))


def test_claims_more_than_is_there() -> None:
    shape = (2**40, 2**40)
    refused(with_header(f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}}}"), "truncated")
    refused(with_header(f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({'9' * 4000}, {'9' * 4000})}}"))
    refused(GOOD + b"more", "trailing bytes")
    refused(b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**32 - 1), "header of 4294967295 bytes")
    refused(b"\x93NUMPY\x04\x00" + b"\0" * 64, "version 4")


def test_pickled_objects_are_never_unpickled() -> None:
    stream = io.BytesIO()
    np.save(stream, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    refused(stream.getvalue(), "pickled")
    refused(pickle.dumps([1, 2]), "no .npy file")


def archive(**members: bytes) -> io.BytesIO:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        for name, content in members.items():
            file.writestr(f"{name}.npy", content)
    stream.seek(0)
    return stream


def npz_refused(stream: io.BytesIO, *words: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_npz(stream, "x.npz")
    assert len(str(caught.value).splitlines()) == 3
    for word in words:
        assert word in str(caught.value)


def test_hostile_archives() -> None:
    npz_refused(io.BytesIO(b"PK\x03\x04 no archive"), "x.npz")
    npz_refused(archive(), "no arrays")
    npz_refused(archive(x=b"text"), "x.npz[x]", "no .npy file")
    npz_refused(archive(x=GOOD[:-1]), "truncated")
    flipped = bytearray(archive(x=GOOD).getvalue())
    flipped[flipped.index(b"NUMPY") + 130] ^= 1
    npz_refused(io.BytesIO(flipped), "CRC")
    encrypted = bytearray(archive(x=GOOD).getvalue())
    encrypted[encrypted.index(b"PK\x01\x02") + 8] |= 1
    npz_refused(io.BytesIO(encrypted), "stored nor deflated")
    whole = archive(x=GOOD).getvalue()
    for length in range(0, len(whole), 7):
        npz_refused(io.BytesIO(whole[:length]))


def test_names_that_leave_the_folder_stay_names() -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        file.writestr("../../x.npy", GOOD)
    stream.seek(0)
    assert list(read_npz(stream, "x.npz")) == ["../../x"]  # read in memory; no file is ever named after it


def test_a_bomb_is_refused_by_its_own_header() -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("x.npy", GOOD + bytes(10_000_000))
    stream.seek(0)
    npz_refused(stream, "trailing bytes")


@pytest.mark.parametrize("fields", [[("a", "<f4"), ("b", "<i4")], [("a", "<f4", (2,))]])
def test_a_structured_array_is_told_as_such(fields: Any) -> None:
    with pytest.raises(UsageError, match=r"x\.npy: a structured array, each element of which has several fields"):
        read(saved(np.zeros(3, fields)))
