"""One file that runs as it is: the bundle's launcher, an index, everything else, and a zip of Python's first modules.

What is code or weights begins with a page, so that it can be mapped from the file. The zip comes last, where Python's
own importer looks for it, and says all its places relative to itself, so that the file may be of any size.
"""

from __future__ import annotations

import hashlib
import io
import posixpath
import re
import struct
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import IO

from aotpack.backend import Backend
from aotpack.bundle.manifest import Bundle
from aotpack.errors import UsageError
from aotpack.release.archives import chunks, zip_entry
from aotpack.release.contents import Item, Progress
from aotpack_doctor.base import elf
from aotpack_doctor.base.single_file import DIGEST_AT, HEAD_SIZE, INDEX_AT, MARK, NUMBER
from aotpack_doctor.base.versions import older

_LAUNCHER, _PROGRAM, _BRIDGE = "bin/aotrun", "python/bin/python3", "lib/libaot_bridge.so"
_LOADER = re.compile(r"libc/ld-linux[^/]*\.so\.\d+")
#: What Python imports from the zip: all that it has no importer of our own for yet. Much of it is built into newer
#: interpreters.
_FIRST = re.compile(
    r"python/lib/python[\d.]+/((encodings|importlib)/.*"
    r"|(__future__|_bootlocale|_collections_abc|abc|codecs|genericpath|io|os|posixpath|stat|types|warnings)\.pyc)"
    r"|runner/(aotrun/(__pycache__/)?__main__|aotpack_doctor/(base/)?(__pycache__/)?(__init__|single_file|in_memory))\..*"
)
#: The loader's --preload came with it.
_OLDEST_LOADER = "2.30"
#: Of what is mapped: the largest page of a machine's kernels.
_PAGES = {"aarch64": 65536}
_PAGE = 4096


@dataclass(frozen=True)
class Segment:
    """Bytes of the file, in order. Those that are no file's content are its frame."""

    content: bytes | Item
    is_frame: bool = True


def write_single_file(target: IO[bytes], bundle: Bundle, items: Sequence[Item], date: datetime, done: Progress) -> None:
    """Write a bundle as one file.

    Args:
        target: a file to write to.
        bundle: what it is.
        items: all of it.
        date: of the zip's entries, in UTC.
        done: called with the bytes just read.

    Raises:
        UsageError: a bundle that cannot run from one file.
        OSError: a file cannot be read, or the file cannot be written.
    """
    _refuse(bundle, items)
    for segment in segments(items, bundle.built_on.machine, date):
        if isinstance(segment.content, bytes):
            target.write(segment.content)
        else:
            for chunk in chunks(segment.content, done):
                target.write(chunk)


def _refuse(bundle: Bundle, items: Sequence[Item]) -> None:
    if bundle.backend is not Backend.CPU:
        raise UsageError(
            f"--format file for a bundle with {bundle.backend} libraries",
            meaning="they find each other and their data by folders, which files in memory have not",
            fix="--format oci or tar.zst",
        )
    if bundle.libc == "bundled" and older(bundle.built_on.glibc or _OLDEST_LOADER, _OLDEST_LOADER):
        raise UsageError(
            f"--format file with glibc {bundle.built_on.glibc}",
            meaning=f"only the loader of glibc {_OLDEST_LOADER} and newer starts a program with libraries from memory",
            fix="build the bundle on a newer system, or with --libc host",
        )
    launcher = next(item for item in items if item.path == _LAUNCHER)
    if launcher.file is None or MARK not in launcher.file.read_bytes():
        raise UsageError(
            f"{_LAUNCHER} knows nothing of single files",
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


def segments(items: Sequence[Item], machine: str, date: datetime) -> list[Segment]:
    """All of the file, in order. The same items give the same bytes. Reads the first modules and the libraries."""
    launcher = next(item for item in items if item.path == _LAUNCHER)
    modules = [item for item in items if item.file is not None and _FIRST.fullmatch(item.path)]
    known = {launcher.path, *(item.path for item in modules)}
    rest = [item for item in items if item.file is not None and item.path not in known]

    lines = list(_starting(items))
    index_size = len(_index(items, lines, {item.path: 0 for item in items}))
    places = {launcher.path: 0}
    body: list[Segment] = []
    end = INDEX_AT + HEAD_SIZE + index_size
    for item in rest:
        padding = -end % (_PAGES.get(machine, _PAGE) if _is_mapped(item) else 1)
        places[item.path] = end + padding
        body += [Segment(bytes(padding)), Segment(item, is_frame=False)]
        end += padding + item.size
    zipped, inside = _zip(modules, date)
    places.update({path: end + offset for path, offset in inside.items()})
    body += _cut(zipped, modules, inside)

    before = [Segment(launcher, is_frame=False), Segment(bytes(INDEX_AT - launcher.size))]
    index = _index(items, lines, places)
    head = MARK + b"%0*d %0*d %s\n" % (NUMBER, end + len(zipped), NUMBER, len(index), b"0" * 64)
    frame = hashlib.sha256()
    for segment in (*before, Segment(head + index), *body):
        if segment.is_frame and isinstance(segment.content, bytes):
            frame.update(segment.content)
    head = head[:DIGEST_AT] + frame.hexdigest().encode() + head[DIGEST_AT + 64 :]
    return [*before, Segment(head + index), *body]


def _is_mapped(item: Item) -> bool:
    """Whether it is used from where it lies: weights, and code."""
    return not item.path.startswith(("include/", "share/", "licenses/")) and "/" in item.path


def _index(items: Iterable[Item], lines: Sequence[str], places: dict[str, int]) -> bytes:
    def line(item: Item) -> str:
        if item.link is not None:
            return f"link\t{item.link}\t{item.path}"
        if item.file is None:
            return f"folder\t{item.path}"
        return f"file\t{item.mode:o}\t{places[item.path]:0{NUMBER}d}\t{item.size}\t{item.path}"

    return "".join(f"{text}\n" for text in (*map(line, items), *lines)).encode()


def _zip(modules: Sequence[Item], date: datetime) -> tuple[bytes, dict[str, int]]:
    """A zip of Python's first modules, stored, and where in it the content of each is.

    Bytecode lies beside its source there, and not in `__pycache__`, where a zip importer does not look.
    """
    buffer = io.BytesIO()
    members: dict[str, zipfile.ZipInfo] = {}
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for item in modules:
            folder, _, name = item.path.rpartition("/")
            if posixpath.basename(folder) == "__pycache__":
                folder, name = posixpath.dirname(folder), f"{name.split('.')[0]}.pyc"
            entry = zip_entry(f"{folder}/{name}", item, date)
            entry.compress_type = zipfile.ZIP_STORED
            archive.writestr(entry, b"".join(chunks(item, lambda _done: None)))
            members[item.path] = entry
    content = buffer.getvalue()
    return content, {path: _start(content, entry) for path, entry in members.items()}


def _start(archive: bytes, entry: zipfile.ZipInfo) -> int:
    """Where the content of an entry is: behind its local header, its name and an extra field, whose lengths it says."""
    name, extra = struct.unpack_from("<HH", archive, entry.header_offset + 26)
    return int(entry.header_offset + 30 + name + extra)


def _cut(zipped: bytes, modules: Sequence[Item], inside: dict[str, int]) -> Iterator[Segment]:
    """The zip with the contents of the modules apart from what holds them together."""
    end = 0
    for item in sorted(modules, key=lambda item: inside[item.path]):
        start = inside[item.path]
        yield Segment(zipped[end:start])
        yield Segment(zipped[start : start + item.size], is_frame=False)
        end = start + item.size
    yield Segment(zipped[end:])


def _starting(items: Sequence[Item]) -> Iterator[str]:
    """How it starts: the loader, the interpreter, the libraries that it has from the start, and what each library
    needs to be loaded before it."""
    libraries = _Libraries(items)
    loader = next((item.path for item in items if _LOADER.fullmatch(item.path)), None)
    if loader is not None:
        yield f"loader\t{loader}"
    extensions = [path for path in libraries.needed if "/lib-dynload/" in path]
    started: list[str] = []
    if _PROGRAM in libraries.needed:
        yield f"program\t{_PROGRAM}"
        # ctypes is what loads everything else, so what it needs must be there before.
        first = [path for path in extensions if posixpath.basename(path).startswith("_ctypes.")]
        started = [path for path in libraries.order([_PROGRAM, *first]) if path not in (_PROGRAM, *first)]
        yield from (f"preload\t{path}" for path in started)
    # All of the runtime: what of it a model asks for is known when that is loaded, and by its name alone.
    runtime = [path for path in libraries.needed if path.startswith("lib/") and path != _BRIDGE]
    for path, roots in ((_BRIDGE, [*runtime, _BRIDGE]), *((path, [path]) for path in extensions)):
        needed = [other for other in libraries.order(roots) if other != path and other not in started]
        yield from (f"needs\t{path}\t{other}" for other in needed)


class _Libraries:
    """The libraries of a bundle, and which of them needs which."""

    def __init__(self, items: Sequence[Item]) -> None:
        #: Path -> sonames that it needs.
        self.needed: dict[str, tuple[str, ...]] = {}
        self._by_soname: dict[str, str] = {}
        for item in items:
            if item.file is None or not (".so" in item.path or item.path == _PROGRAM):
                continue
            if item.path.startswith("models/") or _LOADER.fullmatch(item.path):
                continue
            facts = elf.read_elf(str(item.file))
            if facts is None:
                continue
            self.needed[item.path] = facts.needed
            self._by_soname.setdefault(facts.soname or posixpath.basename(item.path), item.path)

    def order(self, paths: Sequence[str]) -> list[str]:
        """`paths` and all that they need, each after what it needs."""
        done: dict[str, None] = {}
        on_the_way: set[str] = set()

        def visit(path: str) -> None:
            if path in on_the_way:
                return
            on_the_way.add(path)
            for soname in self.needed.get(path, ()):
                if soname in self._by_soname:
                    visit(self._by_soname[soname])
            done[path] = None

        for path in paths:
            visit(path)
        return list(done)
