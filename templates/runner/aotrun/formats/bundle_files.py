"""What lies where: in folders, or in a bundle that is one file, whose parts have paths too (`mlp.aot/models/mlp`)."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, BinaryIO, Optional, Tuple

#: Bytes. What processes hold for the libraries of a smaller file is not worth the time.
_LARGE = 1 << 26


def exists(path: str) -> bool:
    """Whether there is a file or folder."""
    return os.path.exists(path) or _entry(path) is not None


def is_folder(path: str) -> bool:
    """Whether there is a folder; a bundle that is one file counts as one."""
    if os.path.isdir(path):
        return True
    entry = _entry(path)
    return entry is not None and entry.offset is None


def size_of(path: str) -> Optional[int]:
    """Bytes of a regular file of a single file; None when it has none there."""
    entry = _entry(path)
    return None if entry is None or entry.offset is None else int(entry.size)


def folders(path: str) -> Tuple[str, ...]:
    """The names of the folders in a folder, sorted; none when it is not there. Raises OSError."""
    try:
        return tuple(sorted(entry.name for entry in os.scandir(path) if entry.is_dir()))
    except FileNotFoundError:
        return ()
    except NotADirectoryError:
        found = _inside(path)
        names = found[0].names(found[1]) if found is not None else ()
        return tuple(name for name in names if is_folder(os.path.join(path, name)))


def open_inside(path: str) -> Optional[BinaryIO]:
    """A file of a single file for reading; None when there is none."""
    found = _inside(path)
    entry = _entry(path)
    if found is None or entry is None or entry.offset is None:
        return None
    stream: BinaryIO = found[0].open(entry)
    return stream


def library(path: str) -> str:
    """The path by which a library of a bundle can be loaded, with all that it needs loaded before. Raises OSError."""
    if os.path.exists(path):
        return path
    from aotpack_doctor.base import in_memory

    return in_memory.library(path)


def share_memory(path: str) -> None:
    """Once a model is loaded from a single file: hold of its libraries what is this process's own, and share the rest
    with all processes. Where there is little else in memory, it is not worth its millisecond."""
    found = None if os.path.exists(path) else _inside(path)
    if found is not None and found[0].size >= _LARGE:
        from aotpack_doctor.base import sharing

        sharing.share(found[0])


def _inside(path: str) -> Optional[Tuple[Any, str]]:
    try:
        from aotpack_doctor.base.single_file import inside  # travels in every bundle that can be one file
    except ImportError:
        return None
    return inside(path)


def _entry(path: str) -> Any:
    found = _inside(path)
    return None if found is None else found[0].find(found[1])
