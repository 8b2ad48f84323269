"""Sound as an input: samples of every width, and what is refused in words."""

from __future__ import annotations

import struct
import wave
from pathlib import Path

import numpy as np
import pytest
from aotrun.arrays.dtypes import BY_NAME
from aotrun.arrays.signature import Dim, Spec
from aotrun.commands.session import read_inputs
from aotrun.errors import UsageError

FREE = Dim(0, -1, b"n")


def spec(rank: int, dtype: str = "float32") -> list[Spec]:
    return [Spec("x", BY_NAME[dtype], (FREE,) * rank, None)]


def integers(path: Path, width: int, values: list[list[int]]) -> str:
    """A file of integer samples: a list for each moment, of its channels."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(len(values[0]))
        file.setsampwidth(width)
        file.setframerate(16000)
        file.writeframes(b"".join(value.to_bytes(width, "little", signed=width > 1) for row in values for value in row))
    return str(path)


def chunk(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)


def file(path: Path, layout: bytes, data: bytes, *more: bytes) -> str:
    body = b"WAVE" + b"".join(more) + chunk(b"fmt ", layout) + chunk(b"data", data)
    path.write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)
    return str(path)


@pytest.mark.parametrize(
    ("width", "values", "wanted"),
    [
        (1, [[128], [0], [255]], [0.0, -1.0, 127 / 128]),
        (2, [[0], [-32768], [32767], [1]], [0.0, -1.0, 32767 / 32768, 1 / 32768]),
        (3, [[0], [-(1 << 23)], [(1 << 23) - 1], [-1]], [0.0, -1.0, 1 - 2**-23, -(2**-23)]),
        (4, [[0], [-(1 << 31)], [1 << 30]], [0.0, -1.0, 0.5]),
    ],
)
def test_integers_become_numbers_from_minus_one_to_one(
    tmp_path: Path, width: int, values: list[list[int]], wanted: list[float]
) -> None:
    (array,) = read_inputs([integers(tmp_path / "x.wav", width, values)], spec(1))
    assert array.shape == (len(wanted),)
    np.testing.assert_array_equal(np.float32(array.tolist()), np.float32(wanted))


def test_channels_are_rows(tmp_path: Path) -> None:
    path = integers(tmp_path / "x.wav", 2, [[1, -1], [2, -2], [3, -3]])
    (array,) = read_inputs([path], spec(2))
    assert array.shape == (2, 3)
    assert [round(value * 32768) for value in array.tolist()] == [1, 2, 3, -1, -2, -3]
    assert read_inputs([path], spec(3))[0].shape == (1, 2, 3)
    (array,) = read_inputs([path], spec(2, "int16"))
    assert array.tolist() == [1, 2, 3, -1, -2, -3]


@pytest.mark.parametrize(("bits", "letter"), [(32, "f"), (64, "d")])
def test_floats_and_other_chunks(tmp_path: Path, bits: int, letter: str) -> None:
    layout = struct.pack("<HHIIHH", 3, 1, 8000, 8000 * bits // 8, bits // 8, bits)
    samples = struct.pack(f"<3{letter}", 0.5, -1.5, 0.0)
    (array,) = read_inputs([file(tmp_path / "x", layout, samples, chunk(b"LIST", b"odd"))], spec(1))
    assert array.tolist() == [0.5, -1.5, 0.0]
    extensible = struct.pack("<HHIIHH", 0xFFFE, *struct.unpack("<HIIHH", layout[2:]))
    extensible += struct.pack("<HHI", 22, bits, 4) + struct.pack("<H", 3) + bytes(14)
    (array,) = read_inputs([file(tmp_path / "y", extensible, samples)], spec(2))
    assert array.shape == (1, 3)


def test_a_pipe_that_did_not_know_its_length(tmp_path: Path) -> None:
    layout = struct.pack("<HHIIHH", 1, 1, 8000, 16000, 2, 16)
    path = Path(file(tmp_path / "x", layout, struct.pack("<3h", 1, 2, 3)))
    content = path.read_bytes()
    at = content.index(b"data") + 4
    path.write_bytes(content[:at] + b"\xff\xff\xff\xff" + content[at + 4 :] + b"\1")
    assert read_inputs([str(path)], spec(1, "int16"))[0].tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("layout", "what"),
    [
        (struct.pack("<HHIIHH", 2, 1, 8000, 8000, 1, 4), "format 2 with 4 bits"),
        (struct.pack("<HHIIHH", 1, 1, 8000, 8000, 2, 12), "format 1 with 12 bits"),
        (struct.pack("<HHIIHH", 1, 0, 8000, 8000, 0, 16), "0 channels of 16 bits in 0 bytes"),
        (struct.pack("<HHIIHH", 1, 2, 8000, 8000, 2, 16), "2 channels of 16 bits in 2 bytes"),
        (b"\1\0\1\0", "cut off"),
    ],
)
def test_what_cannot_be_read(tmp_path: Path, layout: bytes, what: str) -> None:
    with pytest.raises(UsageError) as refused:
        read_inputs([file(tmp_path / "x.wav", layout, b"\0\0")], spec(1))
    assert what in refused.value.what
    assert len(refused.value.lines) == 3


def test_what_does_not_fit_the_input(tmp_path: Path) -> None:
    path = integers(tmp_path / "x.wav", 2, [[1, -1]])
    with pytest.raises(UsageError, match=r"has 2 channels, the input 1 dims[\s\S]*ffmpeg -i FILE -ac 1"):
        read_inputs([path], spec(1))
    with pytest.raises(UsageError, match="16-bit integers"):
        read_inputs([path], spec(2, "int64"))
    (tmp_path / "y.wav").write_bytes(b"RIFF\x24\0\0\0WAVEfmt ")
    with pytest.raises(UsageError, match="no description of its samples"):
        read_inputs([str(tmp_path / "y.wav")], spec(2))
