"""The folder that a bundle goes to: whose it is, who writes to it, and how a new bundle takes an older one's place.

Whatever happens during a build (a failure, a kill, a full disk), the folder that was asked for holds the older bundle
or nothing, never a half one.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from aotpack.errors import UsageError
from aotpack.manifest import NAME


def check(output: Path, *, force: bool) -> None:
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
