"""The folder that a bundle is, or is packed from."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from aotpack.errors import DamagedError
from aotpack_doctor.base.single_file import SingleFile


@contextmanager
def as_folder(bundle: Path) -> Iterator[Path]:
    """A bundle as a folder: itself, or where the single file is unpacked to for as long as the block lasts.

    Raises:
        DamagedError: a single file that was truncated or changed.
        OSError: no space for it.
    """
    if bundle.is_dir():
        yield bundle
        return
    with tempfile.TemporaryDirectory(prefix="aotpack-") as scratch:
        folder = Path(scratch) / bundle.name
        try:
            _unpack(SingleFile(str(bundle)), folder)
        except ValueError as error:
            raise DamagedError(
                f"{bundle}: {error}",
                meaning="the file was truncated or changed since it was packed",
                fix="copy the file again",
            ) from None
        yield folder


def _unpack(file: SingleFile, folder: Path) -> None:
    folder.mkdir()
    for entry in file.entries.values():
        place = folder / entry.path
        if entry.link is not None:
            place.symlink_to(entry.link)
        elif entry.offset is None:
            place.mkdir()
        else:
            with file.open(entry) as source, place.open("xb") as target:
                shutil.copyfileobj(source, target)
            place.chmod(entry.mode)
