"""A bundle in one file, read: the launcher, an index at a fixed place, what it lists, and a zip of Python's modules.

Whatever is in the file, reading stays within it. docs/bundle-format.md, "The single file", says how it is laid out.
Such a file starts with this module, so it imports nothing that the interpreter has not got by then.
"""

from __future__ import annotations

import errno
import io
import os
import posixpath

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, List, Optional, Tuple

#: Where the index begins. Every page size divides it, and a launcher is smaller.
INDEX_AT = 65536
#: How it begins, with the version of its format.
MARK = b"aotpack-file 1 "
#: Digits of a number in the head, and of an offset in a line.
NUMBER = 20
#: Bytes of the head.
HEAD_SIZE = len(MARK) + NUMBER + 1 + NUMBER + 1 + 64 + 1
_LAUNCHER = "bin/aotrun"
_MOST_LINKS = 40


class NotSingleFileError(ValueError):
    """It is another kind of file."""


class Entry:
    """A folder, file or link.

    Attributes:
        path: relative to the bundle, `/`-separated.
        mode: permissions.
        offset: of a file's content, in bytes; None for folders and links.
        size: bytes.
        link: where a link points.
    """

    __slots__ = ("link", "mode", "offset", "path", "size")

    def __init__(
        self, path: str, mode: int = 0o755, offset: Optional[int] = None, size: int = 0, link: Optional[str] = None
    ) -> None:
        self.path, self.mode, self.offset, self.size, self.link = path, mode, offset, size, link


class SingleFile:
    """An open one.

    Attributes:
        path: as given.
        identity: which file it is, and of when.
        descriptor: of the open file, for as long as this object lives.
        entries: all that it holds, by path.
    """

    def __init__(self, path: str) -> None:
        """Raises OSError, NotSingleFileError, and ValueError for one that was truncated or changed."""
        self.path = path
        self.entries: Dict[str, Entry] = {}
        self._needs: Dict[str, List[str]] = {}
        self.descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            self._read_index()
        except BaseException:
            os.close(self.descriptor)
            raise

    def __del__(self) -> None:
        if "_index_size" in self.__dict__:
            os.close(self.descriptor)

    def _read_index(self) -> None:
        status = os.fstat(self.descriptor)
        self.identity, size = _identity(status), status.st_size
        head = os.pread(self.descriptor, HEAD_SIZE, INDEX_AT)
        words = head[len(MARK) :].split()
        if not head.startswith(MARK):
            if words[:1] == [b"%0*d" % (NUMBER, size)]:
                raise ValueError("was changed where its index begins")
            raise NotSingleFileError("is no single file of aotpack")
        if len(head) != HEAD_SIZE or len(words) != 3 or int(words[0]) != size:
            raise ValueError(f"has {size} bytes, and not as many as it was packed with")
        #: SHA-256, as packed, of what `bundle.json` does not list: of itself, and of signatures.
        self.digest = words[2].decode()
        self.size = size
        length = int(words[1])
        index = os.pread(self.descriptor, length, INDEX_AT + HEAD_SIZE) if length <= size else b""
        if len(index) != length or not index.endswith(b"\n"):
            raise ValueError("has an index that ends in the middle")
        for line in index[:-1].decode().split("\n"):
            self._take(line.split("\t"))
        launcher = self.entries.get(_LAUNCHER)
        if launcher is None or launcher.offset != 0:
            # Its content is checked and signed where the index has it; what runs is what the file begins with.
            raise ValueError(f"has an index whose {_LAUNCHER} is not what the file begins with")
        self._index_size = length

    def _take(self, words: List[str]) -> None:
        kind, *rest = words
        if kind == "file" and len(rest) == 4:
            entry = Entry(rest[3], int(rest[0], 8), int(rest[1]), int(rest[2]))
            if not 0 <= int(rest[1]) <= int(rest[1]) + entry.size <= self.size:
                raise ValueError(f"has {entry.path} at a place behind its end")
        elif kind == "link" and len(rest) == 2:
            entry = Entry(rest[1], 0o777, link=rest[0])
        elif kind == "folder" and len(rest) == 1:
            entry = Entry(rest[0])
        elif kind == "needs" and len(rest) == 2:
            self._needs.setdefault(rest[0], []).append(rest[1])
            return
        elif kind in ("loader", "program", "preload") and len(rest) == 1:
            return  # the launcher's
        else:
            raise ValueError(f"has an index with a line that is none: {kind}")
        leaves = entry.path.startswith(("/", "../")) or entry.path in (".", "..")
        if leaves or posixpath.normpath(entry.path) != entry.path or entry.path in self.entries:
            raise ValueError(f"has an index with an impossible path: {entry.path!r}")
        # Folders come first. Below a link, what is unpacked would lie wherever that leads.
        folder = entry.path.rpartition("/")[0]
        above = self.entries.get(folder)
        if folder and (above is None or above.link is not None or above.offset is not None):
            raise ValueError(f"has an index with a path in no folder: {entry.path!r}")
        self.entries[entry.path] = entry

    def find(self, path: str) -> Optional[Entry]:
        """What a path leads to, links followed; None when there is no such thing. "" is the bundle itself."""
        path = posixpath.normpath(path) if path else "."
        for _ in range(_MOST_LINKS):
            if path == ".":
                return Entry("")
            entry = self.entries.get(path)
            if entry is None or entry.link is None:
                return entry
            path = posixpath.normpath(posixpath.join(posixpath.dirname(path), entry.link))
        return None

    def names(self, folder: str) -> Tuple[str, ...]:
        """What lies in a folder, sorted."""
        return tuple(sorted(posixpath.basename(path) for path in self.entries if posixpath.dirname(path) == folder))

    def needs(self, library: str) -> Tuple[str, ...]:
        """The libraries that must be loaded before this one, in that order."""
        return tuple(self._needs.get(library, ()))

    def open(self, entry: Entry) -> io.BufferedReader:
        """The content of a file."""
        return io.BufferedReader(Region(self, entry.offset or 0, entry.size))

    def read(self, path: str) -> bytes:
        """The content of a small file. Raises FileNotFoundError."""
        entry = self.find(path)
        if entry is None or entry.offset is None:
            raise FileNotFoundError(errno.ENOENT, "is missing", f"{self.path}/{path}")
        return os.pread(self.descriptor, entry.size, entry.offset)


class Region(io.RawIOBase):
    """The bytes of one entry, as a file of its own.

    Attributes:
        file: what they lie in.
        offset: where.
        size: bytes.
    """

    def __init__(self, file: SingleFile, offset: int, size: int) -> None:
        super().__init__()
        self.file, self.offset, self.size, self._at = file, offset, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self.size}[whence]
        self._at = max(0, start + offset)
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        view = memoryview(buffer).cast("B")
        size = max(0, min(len(view), self.size - self._at))
        got = os.preadv(self.file.descriptor, [view[:size]], self.offset + self._at) if size else 0
        self._at += got
        return got


def is_single_file(path: str) -> bool:
    """Whether a file is one, whole or not."""
    try:
        SingleFile(path)
    except (OSError, NotSingleFileError):
        return False
    except ValueError:
        pass  # of one that is not whole
    return True


def _identity(status: os.stat_result) -> Tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


_opened: Dict[str, SingleFile] = {}


def inside(path: str) -> Optional[Tuple[SingleFile, str]]:
    """The single file that a path leads into, and the rest of the path: `mlp.aot/models/mlp` is `models/mlp` in
    `mlp.aot`. None for other paths. Raises ValueError for a single file that was truncated or changed."""
    archive, rest = path, ""
    while not os.path.isfile(archive):
        if os.path.isdir(archive) or archive in ("", "/"):
            return None
        archive, _, name = archive.rpartition("/")
        rest = posixpath.join(name, rest) if rest else name
    try:
        known = _opened.get(archive)
        if known is None or known.identity != _identity(os.stat(archive)):  # another one took its place
            known = _opened[archive] = SingleFile(archive)
    except (OSError, NotSingleFileError):
        return None
    return known, rest
