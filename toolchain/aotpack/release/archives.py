"""tar, tar.zst and zip archives of a bundle: the same bundle and date give the same bytes."""

from __future__ import annotations

import os
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import IO, Any, Protocol, cast

from aotpack.release.contents import Item, Progress
from aotpack.tools.libraries import need
from aotpack.tools.scratch import whole_file
from aotpack_doctor.base.frame import OPEN

_CHUNK = 1 << 20
#: Of zstd: beyond it a bundle hardly shrinks, and takes several times as long.
_LEVEL = 10


class Sink(Protocol):
    """What an archive is written to."""

    def write(self, data: bytes, /) -> object:
        """Take all of the data."""


def write_tar(target: Sink, name: str, items: Sequence[Item], date: datetime, done: Progress) -> None:
    """An uncompressed tar, owned by root.

    Args:
        target: a file to write to.
        name: the folder that all is put in, or "" for none; it may have several parts.
        items: what, in order.
        date: of every entry, in UTC.
        done: called with the bytes just read.

    Raises:
        OSError: a file cannot be read, or the archive cannot be written.
    """
    with tarfile.open(fileobj=cast(Any, target), mode="w|", format=tarfile.PAX_FORMAT, encoding="utf-8") as archive:
        for parent in reversed(list(Path(name).parents)[:-1] if name else []):
            archive.addfile(_tar_entry(parent.as_posix(), Item("", mode=OPEN), date))
        for item in ([Item("")] if name else []) + list(items):
            entry = _tar_entry("/".join(filter(None, (name, item.path))), item, date)
            if item.file is None:
                archive.addfile(entry)
            else:
                with item.file.open("rb") as source:
                    archive.addfile(entry, _Counted(source, done))


def write_tar_zst(target: IO[bytes], name: str, items: Sequence[Item], date: datetime, done: Progress) -> None:
    """The same through zstd, on all cores. Raises BuildToolError when the library is not installed, and as `write_tar`.

    How many cores there are changes nothing of the result, as long as there is a worker at all.
    """
    zstandard = need("zstandard", "zstandard", "a tar.zst archive")
    compressor = zstandard.ZstdCompressor(
        level=_LEVEL, threads=max(1, len(os.sched_getaffinity(0))), write_checksum=True
    )
    with compressor.stream_writer(target, closefd=False) as compressed:
        write_tar(compressed, name, items, date, done)


def write_zip(target: IO[bytes], name: str, items: Sequence[Item], date: datetime, done: Progress) -> None:
    """A deflated zip that keeps modes and links as Info-ZIP does. Raises as `write_tar`."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for item in ([Item("")] if name else []) + list(items):
            entry = zip_entry("/".join(filter(None, (name, item.path))), item, date)
            with archive.open(entry, "w", force_zip64=item.size >= 1 << 31) as stream:
                for chunk in chunks(item, done):
                    stream.write(chunk)


def zip_entry(place: str, item: Item, date: datetime) -> zipfile.ZipInfo:
    """The header of one entry, whatever system writes it."""
    is_folder = item.file is None and item.link is None
    entry = zipfile.ZipInfo(f"{place}/" if is_folder else place, date.timetuple()[:6])
    kind = stat.S_IFDIR if is_folder else stat.S_IFLNK if item.link is not None else stat.S_IFREG
    entry.create_system = 3  # Unix: modes and links have a meaning
    entry.external_attr = (kind | item.mode) << 16 | (0x10 if is_folder else 0)
    entry.compress_type = zipfile.ZIP_STORED if item.file is None else zipfile.ZIP_DEFLATED
    entry.file_size = item.size
    return entry


def chunks(item: Item, done: Progress) -> Iterator[bytes]:
    """An item's content piece by piece; a link's is its target, a folder has none."""
    if item.link is not None:
        yield os.fsencode(item.link)
    elif item.file is not None:
        with item.file.open("rb") as source:
            while chunk := source.read(_CHUNK):
                yield chunk
                done(len(chunk))


def _tar_entry(place: str, item: Item, date: datetime) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(place)  # of user and group 0, without their names
    entry.mode = item.mode
    entry.mtime = int(date.timestamp())
    if item.link is not None:
        entry.type, entry.linkname = tarfile.SYMTYPE, item.link
    elif item.file is None:
        entry.type = tarfile.DIRTYPE
    else:
        entry.size = item.size
    return entry


class _Counted:
    """A file that says how much of it was read."""

    def __init__(self, source: IO[bytes], done: Progress) -> None:
        self._source = source
        self._done = done

    def read(self, size: int = -1) -> bytes:
        chunk = self._source.read(size)
        self._done(len(chunk))
        return chunk


@contextmanager
def written(output: Path) -> Iterator[IO[bytes]]:
    """A file that appears at `output` once it is whole; what was there before stays until then."""
    output.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(output) as stream:
        yield stream


#: Format -> how it is written.
WRITERS: dict[str, Callable[[Any, str, Sequence[Item], datetime, Progress], None]] = {
    "tar": write_tar,
    "tar.zst": write_tar_zst,
    "zip": write_zip,
}
