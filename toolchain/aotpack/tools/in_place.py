"""A new folder takes the place of an older one, in one step where the file system can."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from pathlib import Path

from aotpack.tools import steps


def put_in_place(folder: Path, output: Path, check: Callable[[], object]) -> None:
    """Move `folder` to `output`; a folder that was there is at `folder` afterwards.

    `check` raises where what is at `output` is not to be replaced: it is asked again if something came there meanwhile.

    Raises:
        OSError: and then what was at `output` is there.
    """
    if not output.exists():
        try:
            folder.rename(output)
        except OSError:
            if not output.exists():
                raise
            check()  # another process was faster, whose folder is the older one now
        else:
            return
    if exchange(folder, output):
        return
    # A file system without RENAME_EXCHANGE: the older folder is away for the time between two renames.
    older = folder.with_name(f"{folder.name}.old")
    output.rename(older)
    steps.reached("between")
    try:
        folder.rename(output)
    except BaseException:
        older.rename(output)
        raise
    older.rename(folder)


def exchange(first: Path, second: Path) -> bool:
    """Swap two folders in one step (renameat2 with RENAME_EXCHANGE); False where that cannot be."""
    at_cwd, rename_exchange = -100, 2
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except AttributeError:  # glibc older than 2.28
        return False
    return bool(renameat2(at_cwd, os.fsencode(first), at_cwd, os.fsencode(second), rename_exchange) == 0)
