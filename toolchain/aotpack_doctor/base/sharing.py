"""Gives back the memory that a process holds for the libraries of a single file.

A library in memory is each process's own copy, whereas the pages of a file are there once for all. What of a library
nothing writes to, its code above all, is the same in the file, so once it is loaded it can be mapped from there.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct
from typing import Dict, Iterator, List, NamedTuple, Tuple

from aotpack_doctor.base.single_file import Entry, SingleFile

_PT_LOAD, _PF_X, _PF_W = 1, 1, 2
_PROT_READ, _PROT_EXEC, _MAP_PRIVATE_FIXED = 1, 4, 0x12
_PUNCH_HOLE_KEEP_SIZE = 3
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Segment(NamedTuple):
    """What the loader maps of a library: whole pages, in bytes."""

    offset: int
    address: int
    size: int
    flags: int


def share(file: SingleFile) -> int:
    """Map from the file what is loaded from memory and never written to; returns how many bytes. Changes nothing that
    anybody could see, whatever runs meanwhile. Raises OSError."""
    by_name: Dict[Tuple[str, int], List[Entry]] = {}
    for entry in file.entries.values():
        if entry.offset is not None and entry.offset % _PAGE == 0:
            by_name.setdefault((os.path.basename(entry.path), entry.size), []).append(entry)
    starts = _starts()
    done = 0
    for descriptor in map(int, os.listdir("/proc/self/fd")):
        with contextlib.suppress(OSError, ValueError, struct.error):  # closed by now, or no library
            name = os.readlink(f"/proc/self/fd/{descriptor}")
            status = os.fstat(descriptor)
            found = by_name.get((name[len("/memfd:") : -len(" (deleted)")], status.st_size), [])
            if name.startswith("/memfd:") and len(found) == 1 and status.st_ino in starts:
                done += _remap(file, found[0], descriptor, starts[status.st_ino])
    return done


def _starts() -> Dict[int, int]:
    """Where each file in memory is mapped: inode -> lowest address."""
    starts: Dict[int, int] = {}
    with open("/proc/self/maps", "rb") as lines:
        for line in lines:
            words = line.split()
            if words[5:] and words[5].startswith(b"/memfd:"):
                starts.setdefault(int(words[4]), int(words[0].split(b"-")[0], 16))
    return starts


def _remap(file: SingleFile, entry: Entry, descriptor: int, start: int) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long)
    libc.fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_long, ctypes.c_long)
    loaded = list(segments(os.pread(descriptor, _PAGE, 0)))
    written = [(each.offset, each.offset + each.size) for each in loaded if each.flags & _PF_W]
    done = 0
    for segment in loaded:
        if segment.flags & _PF_W:
            continue
        protection = _PROT_READ | (_PROT_EXEC if segment.flags & _PF_X else 0)
        address = start - loaded[0].address + segment.address
        offset = (entry.offset or 0) + segment.offset
        # In one step: whoever runs this very code finds the same bytes before and after.
        got = libc.mmap(address, segment.size, protection, _MAP_PRIVATE_FIXED, file.descriptor, offset)
        if got != address:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), file.path)
        for begin, end in _outside(segment.offset, segment.offset + segment.size, written):
            libc.fallocate(descriptor, _PUNCH_HOLE_KEEP_SIZE, begin, end - begin)
        done += segment.size
    return done


def segments(head: bytes) -> Iterator[Segment]:
    """What the loader maps of a library, from its first page. Raises struct.error."""
    table: int = struct.unpack_from("<Q", head, 32)[0]
    size, count = struct.unpack_from("<HH", head, 54)
    for index in range(count):
        kind, flags, offset, address, _physical, length = struct.unpack_from("<IIQQQQ", head, table + index * size)
        if kind == _PT_LOAD:
            before = address % _PAGE
            yield Segment(offset - before, address - before, -(-(before + length) // _PAGE) * _PAGE, flags)


def _outside(begin: int, end: int, ranges: List[Tuple[int, int]]) -> Iterator[Tuple[int, int]]:
    """What of begin..end is in none of the ranges."""
    for low, high in sorted(ranges):
        if begin < low < end:
            yield begin, low
        begin = max(begin, high) if low < end else begin
    if begin < end:
        yield begin, end
