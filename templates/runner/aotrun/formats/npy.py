"""NumPy's .npy and .npz files, read and written without NumPy.

A file comes from anybody: nothing is executed, nothing is unpickled, and no memory is taken before the size that a
header claims has been compared with the size that is there.
"""

from __future__ import annotations

import os

from aotrun.arrays.array import Array, count, fortran_strides, swap_bytes
from aotrun.arrays.dtypes import BY_TYPESTR, DType
from aotrun.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, BinaryIO, Callable, Dict, Iterator, List, Mapping, Optional, Tuple, Union

    from aotrun.formats.zipped import Contents, Member

    #: From the names in an archive to how many elements each array may have (None: nobody says).
    Choice = Callable[[List[str]], Mapping[str, Optional[int]]]

MAGIC = b"\x93NUMPY"
ZIP_MAGIC = b"PK"
#: NumPy itself refuses longer ones; ours have three keys.
_LONGEST_HEADER = 10_000
_MOST_DIMS = 64


class _StructuredError(Exception):
    """The elements are records: their type is a list of fields."""


def _refuse(origin: str, what: str) -> UsageError:
    return UsageError(
        f"{origin}: {what}",
        "It is not a usable .npy array.",
        "Write it with numpy.save(file, array, allow_pickle=False).",
    )


def read_npy(stream: Union[BinaryIO, Contents], size: int, origin: str, most: Optional[int] = None) -> Array:
    """Read one array from a stream that holds `size` bytes, of at most `most` elements (None: of any number).

    Raises UsageError with `origin` in it, or MemoryError.
    """
    prefix = stream.read(8)
    if len(prefix) < 8 or not prefix.startswith(MAGIC):
        raise _refuse(origin, "no .npy file" if prefix else "empty file")
    if prefix[6] not in (1, 2, 3):
        raise _refuse(origin, f".npy version {prefix[6]}.{prefix[7]}; known are 1, 2 and 3")
    width = 2 if prefix[6] == 1 else 4
    length = int.from_bytes(stream.read(width), "little")
    if length > _LONGEST_HEADER:
        raise _refuse(origin, f"a header of {length} bytes")
    header = stream.read(length)
    if len(header) < length:
        raise _refuse(origin, "truncated in its header")
    descr, fortran, shape = _parse_header(header.decode("utf-8" if prefix[6] == 3 else "latin-1", "replace"), origin)
    dtype, swapped = _dtype(descr, origin)

    claimed = count(shape) * dtype.itemsize
    there = size - 8 - width - length
    if claimed != there:
        sizes = "x".join(map(str, shape)) or "1"
        problem = "truncated" if claimed > there else "trailing bytes"
        raise _refuse(origin, f"{problem}: {sizes} of {dtype.name} take {claimed} bytes, {there} are there")
    if most is not None and count(shape) > most:
        raise UsageError(
            f"{origin}: shape {list(shape)} are {count(shape)} elements",
            f"The model takes at most {most} there.",
            "Give an array of the shape that the model takes; see: aotrun info",
        )
    if claimed > _physical_memory():  # a few kilobytes of a deflated file can claim anything
        raise MemoryError
    data = bytearray(claimed)
    if _read_into(stream, data) != claimed:
        raise _refuse(origin, "truncated")
    if swapped:
        data = swap_bytes(data, dtype.itemsize // 2 if dtype.is_complex else dtype.itemsize)
    strides = fortran_strides(shape) if fortran and len(shape) > 1 else None
    return Array(dtype, shape, data, strides)


def _physical_memory() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _read_into(stream: Union[BinaryIO, Contents], data: bytearray) -> int:
    """Fill `data` as far as the stream goes; returns the bytes read."""
    done = 0
    view = memoryview(data)
    while done < len(data):
        piece = stream.read(min(len(data) - done, 1 << 24))
        if not piece:
            break
        view[done : done + len(piece)] = piece
        done += len(piece)
    return done


def _parse_header(text: str, origin: str) -> Tuple[str, bool, Tuple[int, ...]]:
    """The three values of a header: `{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }`.

    It is a Python literal, but importing Python's parser of literals takes a third of the time of a whole run.
    """
    try:
        fields = _fields(list(_tokens(text)))
        descr, fortran, shape = fields.pop("descr"), fields.pop("fortran_order"), fields.pop("shape")
    except _StructuredError:
        raise UsageError(
            f"{origin}: a structured array, each element of which has several fields",
            "A model takes arrays of numbers.",
            "Save one of its fields: numpy.save(file, array['FIELD']).",
        ) from None
    except (ValueError, KeyError, IndexError):
        raise _refuse(origin, "a header that does not parse") from None
    if fields or not isinstance(descr, str) or not isinstance(fortran, bool) or not isinstance(shape, tuple):
        raise _refuse(origin, "a header with wrong values")
    if len(shape) > _MOST_DIMS or any(size >= 1 << 63 for size in shape):
        raise _refuse(origin, f"a shape of {len(shape)} dims that no memory holds")
    return descr, fortran, shape


def _tokens(text: str) -> Iterator[str]:
    """Punctuation, quoted strings with their quotes, and words."""
    at = 0
    while at < len(text):
        start = at
        if text[at] in "'\"":
            at = text.index(text[at], at + 1) + 1
        elif text[at].isalnum():
            while at < len(text) and text[at].isalnum():
                at += 1
        else:
            at += 1
        if not text[start].isspace():
            yield text[start:at]


def _fields(tokens: List[str]) -> Dict[str, Union[str, bool, Tuple[int, ...]]]:
    """The entries of a dict of strings, bools and tuples of sizes. Raises ValueError or IndexError."""
    fields: Dict[str, Union[str, bool, Tuple[int, ...]]] = {}
    if tokens.pop(0) != "{" or tokens.pop() != "}":
        raise ValueError
    while tokens:
        key, colon, value = tokens.pop(0), tokens.pop(0), tokens.pop(0)
        if colon != ":" or key[0] not in "'\"" or key[1:-1] in fields:
            raise ValueError
        if value[0] in "'\"":
            fields[key[1:-1]] = value[1:-1]
        elif value in ("True", "False"):
            fields[key[1:-1]] = value == "True"
        elif value == "[" and key[1:-1] == "descr":
            raise _StructuredError
        else:
            fields[key[1:-1]] = _sizes(value, tokens)
        if tokens and tokens.pop(0) != ",":
            raise ValueError
    return fields


def _sizes(bracket: str, tokens: List[str]) -> Tuple[int, ...]:
    """The rest of a tuple of sizes, through its closing bracket. Python 2 wrote sizes as `3L`."""
    sizes: List[int] = []
    while bracket == "(":
        word = tokens.pop(0)
        if word == ")":
            return tuple(sizes)
        digits = word[:-1] if word.endswith("L") else word
        if not digits.isdecimal() or len(digits) > 20:
            break
        sizes.append(int(digits))
        if tokens[0] != ")" and tokens.pop(0) != ",":
            break
    raise ValueError


def _dtype(descr: str, origin: str) -> Tuple[DType, bool]:
    """The element type of a header's `descr`, and whether its bytes are in big-endian order."""
    swapped = descr.startswith(">")
    dtype = BY_TYPESTR.get("<" + descr[1:] if swapped else descr)
    if dtype is not None:
        return dtype, swapped
    if descr.endswith("O"):
        raise UsageError(
            f"{origin}: an array of pickled Python objects",
            "Unpickling runs whatever code the file names, and a model takes numbers only.",
            "Save an array of numbers: numpy.save(file, array.astype('float32')).",
        )
    raise _refuse(origin, f"elements of type {descr!r}, which no model takes")


def npy_header(dtype: DType, shape: Tuple[int, ...]) -> bytes:
    """What precedes the elements of a C-ordered array, padded so that they are aligned to 64 bytes."""
    sizes = "".join(f"{size}, " for size in shape)
    text = f"{{'descr': '{dtype.typestr}', 'fortran_order': False, 'shape': ({sizes.rstrip()}), }}"
    if len(shape) != 1:
        text = text.replace(",), }", "), }")
    padding = -(len(MAGIC) + 4 + len(text) + 1) % 64
    length = len(text) + padding + 1
    return MAGIC + b"\x01\x00" + length.to_bytes(2, "little") + text.encode("ascii") + b" " * padding + b"\n"


def read_npz(stream: BinaryIO, origin: str, choose: Optional[Choice] = None) -> Dict[str, Array]:
    """Read all arrays of an archive, in its order. Raises UsageError.

    `choose` sees their names before anything of them is unpacked, and may raise instead.
    """
    from aotrun.formats.zipped import Archive

    members: Dict[str, Member] = {}
    arrays: Dict[str, Array] = {}
    try:
        archive = Archive(stream)
        for member in archive.members:
            name = member.name[:-4] if member.name.endswith(".npy") else member.name
            if name in members:
                raise _refuse(f"{origin}[{name}]", "twice in the archive")
            members[name] = member
        limits = choose(list(members)) if choose is not None and members else {}
        for name, member in members.items():
            arrays[name] = read_npy(archive.open(member), member.size, f"{origin}[{name}]", limits.get(name))
    except (ValueError, OSError) as error:
        if isinstance(error, UsageError):
            raise
        raise UsageError(
            f"{origin}: {error}", "It is not a whole .npz archive.", "Write it with numpy.savez(file, name=array)."
        ) from error
    if not arrays:
        raise UsageError(f"{origin}: no arrays in it", "A model needs its inputs.", "numpy.savez(file, name=array)")
    return arrays


class NpzWriter:
    """Writes a stored .npz. By hand, for the same reasons as in zipped.py."""

    _STAMP = b"\x00\x00\x21\x00"  # 1980-01-01, so that the same arrays make the same file

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._offset = 0
        self._directory = bytearray()
        self._entries = 0

    def add(self, name: str, dtype: DType, shape: Tuple[int, ...], data: Any) -> None:
        """Append one C-ordered array."""
        from binascii import crc32

        header = npy_header(dtype, shape)
        size = len(header) + len(data)
        # Sizes and offset as 64-bit extra fields always, as NumPy does: no limit to think of.
        crc = crc32(data, crc32(header)).to_bytes(4, "little")
        file_name = f"{name}.npy".encode()
        common = b"\x00\x08\x00\x00" + self._STAMP + crc + b"\xff" * 8 + len(file_name).to_bytes(2, "little")
        sizes = size.to_bytes(8, "little") * 2
        local = b"PK\x03\x04\x2d\x00" + common + b"\x14\x00" + file_name + b"\x01\x00\x10\x00" + sizes
        self._directory += b"PK\x01\x02\x2d\x03\x2d\x00" + common + b"\x1c\x00" + bytes(6) + b"\x00\x00\xa4\x81"
        self._directory += b"\xff" * 4 + file_name + b"\x01\x00\x18\x00" + sizes + self._offset.to_bytes(8, "little")
        for piece in (local, header, data):
            self._stream.write(piece)
        self._offset += len(local) + size
        self._entries += 1

    def close(self) -> None:
        """Write the directory; the stream stays open."""
        size = len(self._directory).to_bytes(8, "little")
        entries = self._entries.to_bytes(8, "little")
        end_offset = (self._offset + len(self._directory)).to_bytes(8, "little")
        end = b"PK\x06\x06" + (44).to_bytes(8, "little") + b"\x2d\x03\x2d\x00" + bytes(8) + entries * 2 + size
        end += self._offset.to_bytes(8, "little")
        end += b"PK\x06\x07" + bytes(4) + end_offset + b"\x01\x00\x00\x00"
        end += b"PK\x05\x06" + bytes(4) + b"\xff" * 12 + bytes(2)
        self._stream.write(self._directory)
        self._stream.write(end)
