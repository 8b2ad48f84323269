"""The only writer of a bundle's files: makes the entries of a plan real below a folder."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from aotpack.bundle.entries import Copy, Entry, Link, Member, Text
from aotpack.bundle.manifest import FileRecord
from aotpack.elf.edits import apply_edit, strip_copy
from aotpack.errors import DamagedError
from aotpack.package.archive import open_member
from aotpack.runtime import slim_weights
from aotpack.tools import steps
from aotpack_doctor.base import hashing
from aotpack_doctor.base.regular import open_regular

_CHUNK = 4 << 20

#: Called with the bytes just written.
Progress = Callable[[int], None]


def write_entries(folder: Path, entries: Sequence[Entry], progress: Progress) -> list[FileRecord]:
    """Write all entries below `folder`; returns a record of each, in order."""
    return [_write(folder, entry, progress) for entry in entries]


def _write(folder: Path, entry: Entry, progress: Progress) -> FileRecord:
    steps.reached("writing")
    path = folder / entry.destination
    path.parent.mkdir(parents=True, exist_ok=True)
    content = entry.content
    if isinstance(content, Link):
        path.symlink_to(content.target)
        return FileRecord(path=entry.destination, part=entry.part.value, reason=entry.reason, link=content.target)
    if isinstance(content, Text):
        path.write_bytes(content.data)
        executable = False
    elif isinstance(content, Copy):
        status = content.source.stat()
        executable = bool(status.st_mode & stat.S_IXUSR)
        if content.edit.strip:  # straight to its place: of hundreds of megabytes, a plain copy first is felt
            strip_copy(content.source, path)
            progress(status.st_size)
        else:
            with open_regular(str(content.source)) as source:
                _pour(source.read, path, progress)
    else:
        with open_member(content.archive, content.name) as source:
            executable = content.executable
            read = source.read if content.ranges is None else _parts(source.read, content.ranges)
            _pour(read, path, progress)
        if content.packings:
            slim_weights.rearrange(path, content.packings)
    if isinstance(content, Copy | Member):
        left = replace(content.edit, strip=content.edit.strip and isinstance(content, Member))
        if left:
            path.chmod(0o755)
            apply_edit(path, left, content.source if isinstance(content, Copy) else path)
    path.chmod(0o755 if executable else 0o644)
    size = path.stat().st_size
    digest, pieces = digests(path, size)
    if isinstance(content, Copy) and content.wheel_sha256 not in (None, digest):
        raise DamagedError(
            f"{content.source}: SHA-256 {digest[:12]}..., its wheel recorded {str(content.wheel_sha256)[:12]}...",
            meaning="the vendor's file was changed after it was installed, and may not be passed on like that",
            fix="install the package again: pip install --force-reinstall, then build again",
        )
    return FileRecord(
        path=entry.destination,
        part=entry.part.value,
        reason=entry.reason,
        size=size,
        sha256=digest,
        pieces=pieces,
        executable=executable,
        pristine=isinstance(content, Copy) and content.pristine,
        wheel_sha256=content.wheel_sha256 if isinstance(content, Copy) else None,
    )


def digests(path: Path, size: int) -> tuple[str, tuple[str, ...]]:
    """SHA-256 of a file of `size` bytes and of its pieces. Raises OSError."""
    parts = hashing.pieces(str(path), size)
    if not parts:
        return hashing.sha256_of(str(path)), ()
    whole = hashing.Range(str(path))
    found = hashing.sha256_of_all((whole, *parts), lambda _done: None)

    def of(part: hashing.Range) -> str:
        digest = found[part]
        if isinstance(digest, OSError):
            raise digest
        return digest

    return of(whole), tuple(of(part) for part in parts)


def _parts(read: Callable[[int], bytes], ranges: Sequence[tuple[int, int]]) -> Callable[[int], bytes]:
    """Reads those parts of a stream, one behind the other, and the rest of it to its end, where it checks itself."""

    def chunks() -> Iterator[bytes]:
        position = 0
        for begin, size in ranges:
            for length, is_taken in ((begin - position, False), (size, True)):
                left = length
                while left > 0 and (chunk := read(min(left, _CHUNK))):
                    left -= len(chunk)
                    if is_taken:
                        yield chunk
            position = begin + size
        while read(_CHUNK):
            pass

    taken = chunks()
    return lambda _size: next(taken, b"")


def _pour(read: Callable[[int], bytes], path: Path, progress: Progress) -> None:
    with path.open("wb") as target:
        while chunk := read(_CHUNK):
            target.write(chunk)
            progress(len(chunk))
