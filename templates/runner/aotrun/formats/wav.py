"""Sound: `.wav` files of plain samples, without a library."""

from __future__ import annotations

import struct

from aotrun.arrays.array import Array, pack
from aotrun.arrays.dtypes import BY_NAME
from aotrun.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, List, Optional, Sequence

    from aotrun.arrays.signature import Spec

MAGIC = (b"RIFF", b"WAVE")
_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
#: struct's letters of integer samples by their bytes. Those of one byte are unsigned, around 128.
_INTEGERS = {1: "B", 2: "h", 4: "i"}
_CONVERT = "Convert it: ffmpeg -i FILE -c:a pcm_s16le out.wav"


class Sound:
    """Samples of a file, which become an array once it is known what the model takes.

    Attributes:
        rate: samples a second.
        channels: how many.
    """

    def __init__(self, rate: int, channels: int, width: int, is_float: bool, data: bytes, origin: str) -> None:
        self.rate = rate
        self.channels = channels
        self._width = width
        self._is_float = is_float
        self._data = data[: len(data) // (width * channels) * width * channels]
        self._origin = origin

    def as_array(self, spec: Spec) -> Array:
        """The samples as an input takes them: of shape (samples,), (channels, samples) or (1, channels, samples) by its
        rank, as numbers from -1 to 1, or as they are in the file where it takes integers. Raises UsageError."""
        rank = 2 if spec.dims is None else len(spec.dims)
        if rank not in (1, 2, 3) or (rank == 1 and self.channels != 1):
            raise UsageError(
                f"input {spec.name}: {self._origin} has {self.channels} channels, the input {rank} dims",
                "Sound has shape (samples,) of one channel, (channels, samples), or (1, channels, samples).",
                "Mix its channels: ffmpeg -i FILE -ac 1 mono.wav" if rank == 1 else "Make the array yourself, as .npy.",
            )
        dtype = spec.dtype or BY_NAME["float32"]
        if dtype.is_float and not dtype.is_complex:
            values: Sequence[Any] = self._as_floats()
        elif dtype.name == f"int{8 * self._width}" and not self._is_float and self._width in (2, 4):
            values = self._as_integers()
        else:
            raise UsageError(
                f"input {spec.name} is {dtype.name}; {self._origin} has {self._described}",
                "Sound becomes floats, or integers of its own size.",
                _CONVERT.replace("FILE", self._origin),
            )
        samples = len(values) // self.channels
        planes = [value for channel in range(self.channels) for value in values[channel :: self.channels]]
        shape = ((samples,), (self.channels, samples), (1, self.channels, samples))[rank - 1]
        return Array(dtype, shape, pack(dtype, planes))

    @property
    def _described(self) -> str:
        return f"{8 * self._width}-bit {'floats' if self._is_float else 'integers'}"

    def _as_floats(self) -> Sequence[float]:
        if self._is_float:
            return struct.unpack(f"<{len(self._data) // self._width}{'f' if self._width == 4 else 'd'}", self._data)
        scale = 1.0 / (1 << (8 * self._width - 1))
        middle = 128 if self._width == 1 else 0
        return [(value - middle) * scale for value in self._as_integers()]

    def _as_integers(self) -> Sequence[int]:
        count = len(self._data) // self._width
        if self._width != 3:
            return struct.unpack(f"<{count}{_INTEGERS[self._width]}", self._data)
        # As the upper bytes of 32 bits, for the sign.
        wide = bytearray(4 * count)
        for index in range(3):
            wide[index + 1 :: 4] = self._data[index::3]
        return [value >> 8 for value in struct.unpack(f"<{count}i", wide)]


def is_sound(content: bytes) -> bool:
    """Whether a file that begins so is a .wav file."""
    return content[:4] == MAGIC[0] and content[8:12] == MAGIC[1]


def read_wav(content: bytes, origin: str) -> Sound:
    """The samples of a file. Raises UsageError for one that is damaged, or compressed."""
    layout: Optional[bytes] = None
    place = 12
    while place + 8 <= len(content):
        name = content[place : place + 4]
        size = int.from_bytes(content[place + 4 : place + 8], "little")
        body = content[place + 8 : place + 8 + size]
        if name == b"fmt ":
            layout = body
        elif name == b"data" and layout is not None:
            # Programs that write into a pipe leave the size open.
            return _sound(layout, body, origin)
        place += 8 + size + size % 2
    raise _damaged(origin, "no samples" if layout is not None else "no description of its samples")


def _sound(layout: bytes, data: bytes, origin: str) -> Sound:
    if len(layout) < 16:
        raise _damaged(origin, "its description of samples is cut off")
    kind, channels, rate, _, block, bits = struct.unpack_from("<HHIIHH", layout)
    if kind == _EXTENSIBLE and len(layout) >= 26:
        kind = struct.unpack_from("<H", layout, 24)[0]
    width = bits // 8
    known: List[int] = {_PCM: [1, 2, 3, 4], _FLOAT: [4, 8]}.get(kind, [])
    if width not in known or bits % 8:
        raise UsageError(
            f"{origin}: sound (WAV) in format {kind} with {bits} bits",
            "Read are plain samples alone: integers of 8, 16, 24 and 32 bits, floats of 32 and 64.",
            _CONVERT.replace("FILE", origin),
        )
    if not channels or block != channels * width:
        raise _damaged(origin, f"{channels} channels of {bits} bits in {block} bytes")
    return Sound(rate, channels, width, kind == _FLOAT, data, origin)


def _damaged(origin: str, what: str) -> UsageError:
    return UsageError(f"{origin}: sound (WAV) with {what}", "The file is damaged, or cut off.", "Save it again.")
