"""One file that runs as it is. How it is laid out, `aotpack_doctor/base/frame.py` says, which verifies it as well."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import IO

from aotpack.backend import Backend
from aotpack.bundle.entries import Part
from aotpack.bundle.manifest import Bundle
from aotpack.errors import UsageError
from aotpack.release.archives import chunks
from aotpack.release.contents import Item, Progress
from aotpack_doctor.base.frame import segments
from aotpack_doctor.base.places import LAUNCHER
from aotpack_doctor.base.single_file import MARK, Entry
from aotpack_doctor.base.versions import older

#: What else a backend's libraries want of where they lie.
_BY_FOLDERS = {Backend.ROCM: ", and they look for their kernels in folders beside them, which memory has not"}
#: The loader's --preload came with it.
_OLDEST_LOADER = "2.30"


def write_single_file(target: IO[bytes], folder: Path, bundle: Bundle, items: Sequence[Item], done: Progress) -> None:
    """Write a bundle as one file.

    Args:
        target: a file to write to.
        folder: the bundle.
        bundle: its description.
        items: all of it.
        done: called with the bytes just read.

    Raises:
        UsageError: a bundle that cannot run from one file.
        OSError: a file cannot be read, or the file cannot be written.
    """
    _refuse(bundle, items)
    by_path = {item.path: item for item in items}
    entries = [Entry(item.path, item.mode, None if item.file is None else 0, item.size, item.link) for item in items]
    for segment in segments(str(folder), entries, bundle.built_on.machine):
        if isinstance(segment, bytes):
            target.write(segment)
        else:
            for chunk in chunks(by_path[segment.path], done):
                target.write(chunk)


def _refuse(bundle: Bundle, items: Sequence[Item]) -> None:
    if bundle.backend is not Backend.CPU:
        libraries = sum(record.size for record in bundle.files if record.part == Part.RUNTIME)
        raise UsageError(
            f"--format file for a bundle with {libraries / 1e9:.2f} GB of {bundle.backend} libraries",
            meaning="each process would copy them into memory to load them" + _BY_FOLDERS.get(bundle.backend, ""),
            fix="--format oci or tar.zst",
        )
    if bundle.libc == "bundled" and older(bundle.built_on.glibc or _OLDEST_LOADER, _OLDEST_LOADER):
        raise UsageError(
            f"--format file with glibc {bundle.built_on.glibc}",
            meaning=f"only the loader of glibc {_OLDEST_LOADER} and newer starts a program with libraries from memory",
            fix="build the bundle on a newer system, or with --libc host",
        )
    launcher = next(item for item in items if item.path == LAUNCHER)
    if launcher.file is None or MARK not in launcher.file.read_bytes():
        raise UsageError(
            f"{LAUNCHER} knows nothing of single files",
            meaning="the bundle was built by an older aotpack",
            fix="build it again: aotpack build --force",
        )
    strange = [item.path for item in items if not (item.path + (item.link or "")).isprintable()]
    if strange:
        raise UsageError(
            f"{strange[0]!r}: a control character in a name",
            meaning="the index of a single file has a line for each name",
            fix="rename the model, or --format tar.zst",
        )
