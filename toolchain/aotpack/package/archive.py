"""Reading a .pt2 archive (zip) without believing it.

A package may come from anywhere. Nothing is extracted by the names in it: callers ask for entries they know and choose
where the bytes go. What an honest writer never does (names that leave the folder, links, entries that overlap, sizes
out of all proportion) is refused before the first byte is read.
"""

from __future__ import annotations

import io
import shutil
import stat
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, BinaryIO

from aotpack.errors import DamagedError, UsageError
from aotpack_doctor.base.regular import SpecialFileError, open_regular

if TYPE_CHECKING:
    from typing_extensions import Buffer

#: deflate cannot do better than 1032 to 1, and no model comes near: code and weights hardly shrink at all.
_MAX_RATIO = 200
#: Below this, a high ratio is harmless (a blob of zeros).
_RATIO_FREE_BYTES = 64 * 1024 * 1024
#: Entries read as a whole: JSON documents and samples.
_MAX_WHOLE = 64 * 1024 * 1024
_LOCAL_HEADER = 30
_FLAG_ENCRYPTED = 0x1
_MAGIC = b"PK\x03\x04"


class Archive:
    """The entries of a checked archive. Make one with `open_archive`."""

    def __init__(self, path: Path, archive: zipfile.ZipFile, file: BinaryIO) -> None:
        self.path = path
        self._zip = archive
        self._file = file
        self._entries = {info.filename: info for info in archive.infolist() if not info.is_dir()}

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the files, in the archive's order."""
        return tuple(self._entries)

    def size(self, name: str) -> int:
        """Size of an entry in bytes, uncompressed."""
        return self._entries[name].file_size

    def read(self, name: str) -> bytes:
        """A small entry as a whole. Raises DamagedError when it is damaged or not small."""
        if self.size(name) > _MAX_WHOLE:
            raise _damaged(self.path, f"{name} has {self.size(name)} bytes", "that is no description of a model")
        with self.open(name) as stream:
            return stream.read()

    @contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        """An entry as a stream; its checksum is compared when the end is reached.

        Raises DamagedError, also while reading, when the bytes are not what the archive declares.
        """
        if name not in self._entries:
            raise _damaged(self.path, f"there is no entry {name}", "the package is incomplete, or was replaced")
        try:
            with self._zip.open(name) as stream:
                yield stream
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, UnicodeDecodeError) as error:
            raise _damaged(
                self.path, f"{name}: {error or 'ends early'}", "the package is truncated or corrupt"
            ) from error

    @contextmanager
    def open_seekable(self, name: str) -> Iterator[IO[bytes]]:
        """An entry for reading here and there, such as an ELF file; its checksum is not compared.

        Of a stored entry, which is what PyTorch writes, only the parts asked for are read.
        """
        info = self._entries.get(name)
        if info is not None and info.compress_type == zipfile.ZIP_STORED:
            window = _Window(self._file, _data_offset(self._file, info), info.file_size)
            yield io.BufferedReader(window)
            return
        with self.open(name) as stream, tempfile.TemporaryFile() as unpacked:
            shutil.copyfileobj(stream, unpacked)
            unpacked.seek(0)
            yield unpacked


class _Window(io.RawIOBase):
    """A part of a file, read-only."""

    def __init__(self, file: BinaryIO, start: int, size: int) -> None:
        super().__init__()
        self._file = file
        self._start = start
        self._size = size
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = min(max(base + offset, 0), self._size)
        return self._position

    def readinto(self, buffer: Buffer, /) -> int:
        view = memoryview(buffer).cast("B")[: self._size - self._position]
        self._file.seek(self._start + self._position)
        content = self._file.read(len(view))
        count = len(content)
        view[:count] = content
        self._position += count
        return count


def _data_offset(file: IO[bytes], info: zipfile.ZipInfo) -> int:
    """Where an entry's bytes begin: behind its local header, a name and extra fields of 16-bit lengths."""
    file.seek(info.header_offset)
    header = file.read(_LOCAL_HEADER)
    name_size, extra_size = struct.unpack_from("<HH", header, 26)
    return info.header_offset + _LOCAL_HEADER + int(name_size) + int(extra_size)


@contextmanager
def open_archive(path: Path) -> Iterator[Archive]:
    """Open and check a .pt2 archive.

    Raises UsageError when there is no such file and DamagedError when it is not a package to be trusted with.
    """
    try:
        opened = open_regular(str(path))
    except (FileNotFoundError, NotADirectoryError, SpecialFileError) as error:
        raise UsageError(
            f"{path}: {error.strerror if isinstance(error, SpecialFileError) else 'no such file'}",
            meaning="a model package (.pt2) was expected",
            fix="aotpack export FILE.py:FUNCTION --output MODEL.pt2",
        ) from None
    with opened as file:
        if file.read(len(_MAGIC)) != _MAGIC:
            raise _damaged(path, "not a zip archive", "a .pt2 package is one; this file is something else")
        try:
            archive = zipfile.ZipFile(file)
        except (zipfile.BadZipFile, NotImplementedError, UnicodeDecodeError) as error:
            raise _damaged(path, f"the table of contents is missing ({error})", "the package is truncated") from error
        with archive:
            _check(path, archive, file)
            yield Archive(path, archive, file)


@contextmanager
def open_member(path: Path, name: str) -> Iterator[IO[bytes]]:
    """One entry of the archive at `path` as a stream; see `Archive.open`."""
    with open_archive(path) as archive, archive.open(name) as stream:
        yield stream


def _check(path: Path, archive: zipfile.ZipFile, file: IO[bytes]) -> None:
    seen: set[str] = set()
    for info in archive.infolist():
        name = info.filename
        parts = name.rstrip("/").split("/")
        if "\\" in name or any(part in ("", ".", "..") for part in parts) or not name.isprintable():
            raise _hostile(path, f"entry {name!r} names a place outside the package")
        if name in seen:
            raise _hostile(path, f"there are two entries {name!r}")
        seen.add(name)
        if stat.S_ISLNK(info.external_attr >> 16):
            raise _hostile(path, f"entry {name!r} is a symbolic link")
        if info.flag_bits & _FLAG_ENCRYPTED:
            raise _damaged(path, f"entry {name!r} is encrypted", "neither PyTorch nor aotpack can read it")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise _damaged(
                path, f"entry {name!r} is compressed by method {info.compress_type}", "PyTorch stores or deflates"
            )
        stored = info.compress_type == zipfile.ZIP_STORED
        limit = info.compress_size if stored else max(info.compress_size * _MAX_RATIO, _RATIO_FREE_BYTES)
        if info.file_size > limit:
            raise _hostile(
                path, f"entry {name!r} claims {info.file_size} bytes out of {info.compress_size} (a zip bomb)"
            )
    _check_overlap(path, archive, file)


def _check_overlap(path: Path, archive: zipfile.ZipFile, file: IO[bytes]) -> None:
    """Entries that share bytes multiply: a few megabytes become terabytes without any high ratio."""
    ordered = sorted(archive.infolist(), key=lambda info: info.header_offset)
    ends = [info.header_offset for info in ordered[1:]] + [archive.start_dir]
    for info, end in zip(ordered, ends, strict=True):
        start = info.header_offset
        if start < 0 or start + _LOCAL_HEADER > end or _data_offset(file, info) + info.compress_size > end:
            raise _hostile(path, f"entry {info.filename!r} lies outside the file or overlaps what follows it")


def _damaged(path: Path, what: str, meaning: str) -> DamagedError:
    return DamagedError(f"{path}: {what}", meaning=meaning, fix="export the model again, or copy the package again")


def _hostile(path: Path, what: str) -> DamagedError:
    return DamagedError(
        f"{path}: {what}",
        meaning="no honest tool writes such an archive; nothing of it has been unpacked",
        fix="get the package from a source you trust",
    )
