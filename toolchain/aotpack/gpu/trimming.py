"""Trims the device code of a copied CUDA library on disk. What to keep is `fatbin`'s business."""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

from aotpack.gpu import fatbin
from aotpack.gpu.fatbin import Arch, Trim

SECTION = ".nv_fatbin"


def architectures(path: Path) -> tuple[str, ...]:
    """What a library has device code for; empty when it has none. Raises ValueError when it cannot be read."""
    section = _find(path)
    if section is None:
        return ()
    with _mapped(path, section) as view:
        return fatbin.architectures(fatbin.parse(view))


def plan_trim(path: Path, gpus: Collection[Arch]) -> Trim:
    """What `trim` would do to a file. Raises ValueError when it cannot be read."""
    section = _find(path)
    if section is None:
        return Trim((), (), ())
    with _mapped(path, section) as view:
        return fatbin.trim(view, gpus)


def trim(path: Path, gpus: Collection[Arch]) -> int:
    """Leave in a file what these GPUs can use; returns the bytes that became holes or zeros.

    The file keeps its size; its holes take no disk (where the file system has holes) and next to nothing in an archive.
    Do this last: strip and patchelf write the zeros out. Raises ValueError as `fatbin.parse` does; the file is then as
    it was.
    """
    section = _find(path)
    edits = plan_trim(path, gpus)
    if section is None or not edits.sizes:
        return 0
    with _mapped(path, section, writable=True) as view:
        fatbin.apply(view, edits)
    for offset, size in edits.holes:
        _punch(path, section.offset + offset, size)
    return edits.saved


@dataclass(frozen=True)
class _Section:
    """Where the section lies in its file, in bytes."""

    offset: int
    size: int


def _find(path: Path) -> _Section | None:
    with path.open("rb") as stream:
        try:
            header = ELFFile(stream).get_section_by_name(SECTION)
        except ELFError as error:
            raise ValueError(f"not a whole ELF file ({error})") from error
        return _Section(header["sh_offset"], header["sh_size"]) if header else None


@contextmanager
def _mapped(path: Path, section: _Section, *, writable: bool = False) -> Iterator[memoryview]:
    """The section's bytes, mapped from the file."""
    with (
        path.open("r+b" if writable else "rb") as stream,
        mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_WRITE if writable else mmap.ACCESS_READ) as data,
        memoryview(data) as whole,
        whole[section.offset : section.offset + section.size] as view,
    ):
        yield view


def _punch(path: Path, offset: int, size: int) -> None:
    """Give the whole blocks of a range back to the file system; one that cannot keeps the zeros."""
    keep_size, punch_hole = 0x01, 0x02
    fallocate = ctypes.CDLL(None).fallocate64
    fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
    with path.open("r+b") as stream:
        fallocate(stream.fileno(), keep_size | punch_hole, offset, size)
