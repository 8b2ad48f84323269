"""The only writer of bundles: makes a plan real in a temporary sibling folder and puts it in place in one step.

Whatever happens on the way (a failure, a kill, a full disk), the folder that was asked for holds the older bundle or
nothing, never a half one.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from aotpack import packed_weights
from aotpack.archive import open_member
from aotpack.elf import apply_edit, strip_copy
from aotpack.errors import DamagedError, UsageError
from aotpack.manifest import NAME, FileRecord
from aotpack.plan import Copy, Entry, Link, Member, Text
from aotpack_doctor import hashing

_CHUNK = 4 << 20

#: Called with the bytes just written.
Progress = Callable[[int], None]


def check_output(output: Path, *, force: bool) -> None:
    """Refuse to replace a folder that is not a bundle: its files are somebody's. `force` is that somebody's word.

    The folder that the user stands in is refused as well: a new bundle takes the old folder's place, and the user's
    shell would be left in one that is gone.
    """
    if Path.cwd().is_relative_to(output):
        raise UsageError(
            f"{output}: is the current folder, or holds it",
            meaning="a new bundle takes the place of its whole folder, the one you stand in included",
            fix="cd to another folder, or choose another --output",
        )
    if not output.exists():
        return
    if not output.is_dir():
        raise UsageError(
            f"{output}: exists and is not a folder",
            meaning="a bundle is a folder, and aotpack does not replace other files",
            fix="choose another --output",
        )
    if force or not any(output.iterdir()) or (output / NAME).is_file():
        return
    foreign = sorted(path.name for path in output.iterdir())
    raise UsageError(
        f"{output}: exists, is not a bundle and holds {', '.join(foreign[:3])}{' ...' if foreign[3:] else ''}",
        meaning="building there would delete files that aotpack did not make",
        fix="choose another --output, or pass --force to replace the folder",
    )


@contextlib.contextmanager
def exclusive(output: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Hold the right to write `output`; `waiting` is called once when another build holds it."""
    output.parent.mkdir(parents=True, exist_ok=True)
    lock = output.parent / f".{output.name}.aotpack-lock"
    with lock.open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
            fcntl.flock(handle, fcntl.LOCK_EX)
        _remove_leftovers(output)
        yield
    # The lock file stays: removing it would let a third build lock a new file while a second still waits for this one.


def _remove_leftovers(output: Path) -> None:
    """Folders of builds that were killed; nobody else writes here while we hold the lock."""
    for leftover in output.parent.glob(f".{output.name}.aotpack-new-*"):
        shutil.rmtree(leftover, ignore_errors=True)


@contextlib.contextmanager
def staging(output: Path) -> Iterator[Path]:
    """A temporary sibling folder; moved to `output` when the block ends well, removed otherwise."""
    folder = Path(tempfile.mkdtemp(prefix=f".{output.name}.aotpack-new-", dir=output.parent))
    umask = os.umask(0o022)  # a bundle is for every user of its target, whatever its builder's own files are
    try:
        folder.chmod(0o755)
        yield folder
        _put_in_place(folder, output)
    finally:
        os.umask(umask)
        # After an exchange this is the older bundle, otherwise what a failure left.
        shutil.rmtree(folder, ignore_errors=True)


def _put_in_place(folder: Path, output: Path) -> None:
    if not output.exists():
        folder.rename(output)
    elif not _exchange(folder, output):
        # A file system without RENAME_EXCHANGE: the older bundle is away for the time between two renames.
        older = folder.with_name(f"{folder.name}.old")
        output.rename(older)
        try:
            folder.rename(output)
        except OSError:
            older.rename(output)
            raise
        older.rename(folder)


def _exchange(first: Path, second: Path) -> bool:
    """Swap two folders in one step (renameat2 with RENAME_EXCHANGE)."""
    at_cwd, rename_exchange = -100, 2
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except AttributeError:  # glibc older than 2.28
        return False
    return bool(renameat2(at_cwd, os.fsencode(first), at_cwd, os.fsencode(second), rename_exchange) == 0)


def write_entries(folder: Path, entries: Sequence[Entry], progress: Progress) -> list[FileRecord]:
    """Write all entries below `folder`; returns a record of each, in order."""
    return [_write(folder, entry, progress) for entry in entries]


def _write(folder: Path, entry: Entry, progress: Progress) -> FileRecord:
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
            with content.source.open("rb") as source:
                _pour(source.read, path, progress)
    else:
        with open_member(content.archive, content.name) as source:
            executable = content.executable
            _pour(source.read, path, progress)
        if content.packings:
            packed_weights.rearrange(path, content.packings)
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


def _pour(read: Callable[[int], bytes], path: Path, progress: Progress) -> None:
    with path.open("wb") as target:
        while chunk := read(_CHUNK):
            target.write(chunk)
            progress(len(chunk))
