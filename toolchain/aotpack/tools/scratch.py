"""Folders for what is not whole yet, beside the place where it will be: gone when the work ends, however it ends.

A process that is killed removes nothing. So each holds a lock on its folder, and whoever makes the next folder removes
those that nobody holds any more.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from aotpack_doctor.base.regular import refuse_special

#: What `tempfile` puts behind a prefix.
_RANDOM = re.compile(r"[a-z0-9_]{8}")
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@contextlib.contextmanager
def scratch_folder(parent: Path, prefix: str) -> Iterator[Path]:
    """An empty folder of this user's in `parent`, whose name begins with `prefix`; removed when the block ends.

    Raises OSError when it cannot be made.
    """
    _remove_abandoned(parent, prefix)
    folder, descriptor = _held(parent, prefix)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(descriptor)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file at once; see `whole_file`."""
    with whole_file(path) as stream:
        stream.write(content)


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """A file that appears at `path` once the block ends well; otherwise what was there stays.

    Raises OSError, also when something else than a file lies there; a link is not followed.
    """
    if os.path.lexists(path):
        refuse_special(path.lstat().st_mode, str(path))
    with scratch_folder(path.parent, f".{path.name}.aotpack-new-") as scratch:
        with (scratch / path.name).open("wb") as stream:
            yield stream
        (scratch / path.name).replace(path)


def clear_abandoned(path: Path) -> None:
    """Remove what writers of `whole_file` left beside `path` when they were killed."""
    _remove_abandoned(path.parent, f".{path.name}.aotpack-new-")


def _held(parent: Path, prefix: str) -> tuple[Path, int]:
    """A new folder, and a descriptor that is locked as long as it is open."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
        descriptor = os.open(folder, _FOLDER)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)  # taken for abandoned in the moment between
            continue
        except OSError:
            return folder, descriptor  # a file system without locks: what a kill leaves there, stays
        if folder.exists():
            return folder, descriptor
        os.close(descriptor)


def _remove_abandoned(parent: Path, prefix: str) -> None:
    found = [path for path in parent.iterdir() if path.name.startswith(prefix)]
    for folder in found:
        if not _RANDOM.fullmatch(folder.name.removeprefix(prefix)):
            continue
        with contextlib.suppress(OSError):  # held by somebody, somebody else's, or gone
            descriptor = os.open(folder, _FOLDER)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(descriptor)
