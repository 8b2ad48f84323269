"""Facts of one 64-bit little-endian ELF file, with nothing but the standard library: this travels into bundles."""

from __future__ import annotations

import mmap
import re
import struct
from io import BufferedReader
from typing import Iterator, NamedTuple, Union

from aotpack_doctor.base.regular import open_regular
from aotpack_doctor.base.single_file import Region

Buffer = Union[bytes, mmap.mmap]

#: The machine of code for a GPU, of whatever maker.
GPU = "gpu"
#: `e_machine` -> uname's name. Code for GPUs comes in ELF files too: CUDA's cubins, AMD's code objects. Drivers read
#: them, the loader never does.
_MACHINES = {62: "x86_64", 183: "aarch64", 3: "i386", 21: "ppc64le", 243: "riscv64", 40: "arm", 190: GPU, 224: GPU}
_PT_LOAD, _PT_DYNAMIC, _PT_TLS, _PT_GNU_STACK = 1, 2, 7, 0x6474E551
_DT_NEEDED, _DT_STRTAB, _DT_STRSZ, _DT_SONAME, _DT_RPATH, _DT_RUNPATH, _DT_FLAGS = 1, 5, 10, 14, 15, 29, 30
_DF_STATIC_TLS = 16


class Elf(NamedTuple):
    """What the loader reads of one file.

    Attributes:
        machine: uname's name, or `GPU`.
        search_path: RUNPATH, or RPATH when there is none, as written.
        search_kind: which of them; None without either.
        static_tls: bytes of thread-local storage that every thread must have from its start; 0 when it can come later.
    """

    machine: str
    soname: str | None
    needed: tuple[str, ...]
    search_path: tuple[str, ...]
    search_kind: str | None
    executable_stack: bool
    static_tls: int


def read_elf(path: str) -> Elf | None:
    """Facts of a file; None when it is not an ELF file. Raises ValueError when it is a damaged one, OSError."""
    with open_regular(path) as stream:
        if stream.read(4) != b"\x7fELF":
            return None
        with _mapped(stream) as data:
            try:
                return _parse(data)
            except (struct.error, IndexError, OverflowError, UnicodeDecodeError) as error:
                raise ValueError(f"not a whole ELF file ({error})") from error


def machine_name(number: int) -> str:
    """What a file's `e_machine` stands for: uname's name, or `GPU`."""
    return _MACHINES.get(number, f"machine {number}")


def shim_names(path: str) -> frozenset[str]:
    """Names of AOTInductor's C shim among the dynamic symbols of a file, imported or exported.

    In a bundle with the slim runtime they are names of its own. All of them stand in one string table, which is found
    without reading the (large) symbol table.
    Raises OSError, ValueError.
    """
    with open_regular(path) as stream, _mapped(stream) as data:
        try:
            loads, entries = _segments(data)[:2]
            tags = dict(entries)
            start = _file_offset(loads, tags.get(_DT_STRTAB, 0))
            table = data[start : start + tags.get(_DT_STRSZ, 0)]
        except (struct.error, IndexError, OverflowError) as error:
            raise ValueError(f"not a whole ELF file ({error})") from error
    return frozenset(name.decode() for name in re.findall(rb"(?:^|\0)((?:aoti|slim)_torch_\w+)(?=\0)", table))


def _mapped(stream: BufferedReader) -> mmap.mmap:
    if isinstance(stream.raw, Region):  # in a single file, where libraries begin with a page
        place = stream.raw
        return mmap.mmap(place.file.descriptor, place.size, access=mmap.ACCESS_READ, offset=place.offset)
    return mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)


def _parse(data: Buffer) -> Elf:
    if data[4] != 2 or data[5] != 1:
        raise ValueError("not a 64-bit little-endian ELF file")
    machine: int = struct.unpack_from("<H", data, 18)[0]
    loads, entries, executable_stack, tls = _segments(data)
    tags = dict(reversed(entries))
    strings = _file_offset(loads, tags.get(_DT_STRTAB, 0))

    def text(tag: int) -> str | None:
        return _text(data, strings + tags[tag]) if tag in tags else None

    runpath, rpath = text(_DT_RUNPATH), text(_DT_RPATH)
    search = runpath if runpath is not None else rpath
    return Elf(
        machine=machine_name(machine),
        soname=text(_DT_SONAME),
        needed=tuple(_text(data, strings + value) for tag, value in entries if tag == _DT_NEEDED),
        search_path=tuple(part for part in (search or "").split(":") if part),
        search_kind="RUNPATH" if runpath is not None else "RPATH" if rpath is not None else None,
        executable_stack=executable_stack,
        static_tls=tls if tags.get(_DT_FLAGS, 0) & _DF_STATIC_TLS else 0,
    )


def _segments(data: Buffer) -> tuple[list[tuple[int, int, int]], list[tuple[int, int]], bool, int]:
    """What is loaded where (address, offset, length), the dynamic section, whether the stack is executable, and the
    bytes of thread-local storage."""
    table: int = struct.unpack_from("<Q", data, 32)[0]
    size, count = struct.unpack_from("<HH", data, 54)
    loads: list[tuple[int, int, int]] = []
    entries: list[tuple[int, int]] = []
    executable_stack = False
    tls = 0
    for index in range(count):
        header = struct.unpack_from("<IIQQQQQ", data, table + index * size)
        kind, flags, offset, address, _physical, length, memory = header
        if kind == _PT_LOAD:
            loads.append((address, offset, length))
        elif kind == _PT_DYNAMIC:
            entries = list(_dynamic_entries(data, offset, length))
        elif kind == _PT_GNU_STACK:
            executable_stack = bool(flags & 1)
        elif kind == _PT_TLS:
            tls = memory
    return loads, entries, executable_stack, tls


def _dynamic_entries(data: Buffer, offset: int, length: int) -> Iterator[tuple[int, int]]:
    for place in range(offset, offset + length, 16):
        tag, value = struct.unpack_from("<qQ", data, place)
        if tag == 0:
            return
        yield tag, value


def _file_offset(loads: list[tuple[int, int, int]], address: int) -> int:
    for start, offset, length in loads:
        if start <= address < start + length:
            return address - start + offset
    return address


def _text(data: Buffer, offset: int) -> str:
    end = data.find(b"\0", offset)
    if end < 0:
        raise ValueError("a string runs off the end of the file")
    return data[offset:end].decode()
