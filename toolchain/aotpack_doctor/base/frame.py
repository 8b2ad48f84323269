"""How a bundle is laid out as one file: its launcher, an index, everything else, and a zip of Python's first modules.

All of it follows from the bundle's files, so whoever has those knows every byte that holds them together: `aotpack
pack` writes them, and whoever verifies compares. What is code or weights begins with a page, so that it can be mapped
from the file. The zip comes last, where Python's own importer looks for it, and says all its places relative to itself.
"""

from __future__ import annotations

import binascii
import os
import posixpath
import re
import stat
import struct
from typing import Any, Dict, Iterable, Iterator, List, Sequence, Tuple, Union

from aotpack_doctor.base import elf, hashing
from aotpack_doctor.base.places import (
    BRIDGE,
    DESCRIPTION,
    INCLUDE,
    LAUNCHER,
    LIB,
    LICENSES,
    MODELS,
    PYTHON_PROGRAM,
    SHARE,
    is_signature,
)
from aotpack_doctor.base.regular import read_regular
from aotpack_doctor.base.single_file import HEAD_SIZE, INDEX_AT, MARK, NUMBER, Entry, SingleFile

#: Of folders and programs, of all other files, and of links.
OPEN, PLAIN, LINK = 0o755, 0o644, 0o777
_LOADER = re.compile(r"libc/ld-linux[^/]*\.so\.\d+")
#: What Python imports from the zip: all that it has no importer of our own for yet. Much of it is built into newer
#: interpreters.
_FIRST = re.compile(
    r"python/lib/python[\d.]+/((encodings|importlib)/.*"
    r"|(__future__|_bootlocale|_collections_abc|abc|codecs|genericpath|io|os|posixpath|stat|types|warnings)\.pyc)"
    r"|runner/(aotrun/(__pycache__/)?__main__|aotpack_doctor/(base/)?(__pycache__/)?(__init__|single_file|in_memory))\..*"
)
#: Of what is mapped: the largest page of a machine's kernels.
_PAGES = {"aarch64": 65536}
_PAGE = 4096
#: Of a zip's members: names in UTF-8, made on Unix, 1980-01-01.
_ZIP_VERSION, _ZIP_UTF8, _ZIP_UNIX, _ZIP_DATE = 20, 0x800, 3, 0x21
#: Of one without extensions: files, and bytes, with room for what is said of each.
_ZIP_MOST, _ZIP_LARGEST = 0xFFFF, 0xF0000000

#: Bytes between the files, or the content of one.
Segment = Union[bytes, Entry]


def listed(records: Iterable[Any], beside: Iterable[Tuple[str, int]]) -> List[Entry]:
    """All that belongs to a bundle, each folder before what is in it, sorted by name. Where files lie is not said yet.

    Args:
        records: the files of its description.
        beside: name and bytes of what that does not list: itself, and signatures.
    """
    entries = {name: Entry(name, PLAIN, 0, size) for name, size in beside}
    for record in records:
        if record.link is not None:
            entries[record.path] = Entry(record.path, LINK, link=record.link)
        else:
            entries[record.path] = Entry(record.path, OPEN if record.executable else PLAIN, 0, record.size)
    for name in tuple(entries):
        for folder in _folders(name):
            entries.setdefault(folder, Entry(folder))
    return [entries[name] for name in sorted(entries, key=lambda name: name.split("/"))]


def _folders(path: str) -> Iterator[str]:
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path


def segments(root: str, entries: Sequence[Entry], machine: str) -> List[Segment]:
    """All of the file, in order. The same files give the same bytes.

    Args:
        root: the bundle, a folder or a single file. Of it the first modules, the libraries, and what the description
            does not list are read.
        entries: from `listed`.
        machine: uname's name of what it runs on.

    Raises:
        OSError: a file cannot be read.
        ValueError: one is not what it should be.
    """
    launcher = next((entry for entry in entries if entry.path == LAUNCHER), Entry(LAUNCHER))
    if launcher.offset is None or launcher.size > INDEX_AT:
        raise ValueError(f"has no {LAUNCHER} that it could begin with")
    files = [entry for entry in entries if entry.offset is not None and entry is not launcher]
    modules = [entry for entry in files if _FIRST.fullmatch(entry.path)]
    lines = list(_starting(root, entries))

    places = {entry.path: 0 for entry in entries}
    end = INDEX_AT + HEAD_SIZE + len(_index(entries, lines, places))
    body: List[Segment] = []
    for entry in files:
        if not _FIRST.fullmatch(entry.path):
            padding = -end % (_PAGES.get(machine, _PAGE) if _is_mapped(entry.path) else 1)
            places[entry.path] = end + padding
            body += [bytes(padding), entry]
            end += padding + entry.size
    for segment in _zip(root, modules):
        if isinstance(segment, Entry):
            places[segment.path] = end
        body.append(segment)
        end += segment.size if isinstance(segment, Entry) else len(segment)

    index = _index(entries, lines, places)
    digest = unlisted_digest(root, entries).encode()
    head = MARK + b"%0*d %0*d %s\n" % (NUMBER, end, NUMBER, len(index), digest)
    return [launcher, bytes(INDEX_AT - launcher.size), head + index, *body]


def unlisted_digest(root: str, entries: Iterable[Entry]) -> str:
    """SHA-256 of what no description lists: of itself, and of the signatures, in order."""
    digest = hashing.PYTHONS.new()
    for entry in entries:
        if is_unlisted(entry.path):
            digest.update(read_regular(os.path.join(root, entry.path)))
    return str(digest.hexdigest())


def is_unlisted(path: str) -> bool:
    """Whether a file of a bundle is one that its description does not list."""
    return path == DESCRIPTION or is_signature(path)


def first_difference(file: SingleFile, expected: Iterable[Segment]) -> Tuple[int, int] | None:
    """Where the file first differs from what it should be, but for the contents of files: start and end, in bytes."""
    place = 0
    for segment in expected:
        if isinstance(segment, Entry):
            place += segment.size
            continue
        if os.pread(file.descriptor, len(segment), place) != segment:
            return place, place + len(segment)
        place += len(segment)
    return None


def _is_mapped(path: str) -> bool:
    """Whether it is used from where it lies: weights, and code."""
    folder, slash, _ = path.partition("/")
    return bool(slash) and folder not in (INCLUDE, SHARE, LICENSES)


def _index(entries: Iterable[Entry], lines: Iterable[str], places: Dict[str, int]) -> bytes:
    def line(entry: Entry) -> str:
        if entry.link is not None:
            return f"link\t{entry.link}\t{entry.path}"
        if entry.offset is None:
            return f"folder\t{entry.path}"
        return f"file\t{entry.mode:o}\t{places[entry.path]:0{NUMBER}d}\t{entry.size}\t{entry.path}"

    return "".join(f"{text}\n" for text in (*map(line, entries), *lines)).encode()


def _zip(root: str, modules: Iterable[Entry]) -> Iterator[Segment]:
    """A zip of Python's first modules, stored.

    Bytecode lies beside its source there, and not in `__pycache__`, where a zip importer does not look.
    """
    directory = bytearray()
    end = count = 0
    modules = list(modules)
    if len(modules) > _ZIP_MOST or sum(entry.size + len(entry.path) for entry in modules) > _ZIP_LARGEST:
        raise ValueError("it has more first modules than a zip holds")
    for entry in modules:
        folder, _, name = entry.path.rpartition("/")
        if posixpath.basename(folder) == "__pycache__":
            folder, name = posixpath.dirname(folder), f"{name.split('.')[0]}.pyc"
        place = f"{folder}/{name}".encode()
        checksum = binascii.crc32(read_regular(os.path.join(root, entry.path)))
        # Version, flags, method, time, date, CRC, packed and plain size, lengths of the name and of what follows it.
        common = struct.pack(
            "<5H3I2H", _ZIP_VERSION, _ZIP_UTF8, 0, 0, _ZIP_DATE, checksum, entry.size, entry.size, len(place), 0
        )
        mode = (stat.S_IFREG | entry.mode) << 16
        made_by = _ZIP_UNIX << 8 | _ZIP_VERSION
        directory += b"PK\1\2" + struct.pack("<H", made_by) + common + struct.pack("<3H2I", 0, 0, 0, mode, end) + place
        header = b"PK\3\4" + common + place
        yield header
        yield entry
        end += len(header) + entry.size
        count += 1
    yield bytes(directory) + b"PK\5\6" + struct.pack("<4H2IH", 0, 0, count, count, len(directory), end, 0)


def _starting(root: str, entries: Iterable[Entry]) -> Iterator[str]:
    """How it starts: the loader, the interpreter, the libraries that it has from the start, and what each library
    needs to be loaded before it."""
    files = [entry.path for entry in entries if entry.offset is not None]
    libraries = _Libraries(root, files)
    loader = next(filter(_LOADER.fullmatch, files), None)
    if loader is not None:
        yield f"loader\t{loader}"
    extensions = [path for path in libraries.needed if "/lib-dynload/" in path]
    started: List[str] = []
    if PYTHON_PROGRAM in libraries.needed:
        yield f"program\t{PYTHON_PROGRAM}"
        # ctypes is what loads everything else, so what it needs must be there before.
        first = [path for path in extensions if posixpath.basename(path).startswith("_ctypes.")]
        started = [path for path in libraries.order([PYTHON_PROGRAM, *first]) if path not in (PYTHON_PROGRAM, *first)]
        yield from (f"preload\t{path}" for path in started)
    # All of the runtime: what of it a model asks for is known when that is loaded, and by its name alone.
    runtime = [path for path in libraries.needed if path.startswith(f"{LIB}/") and path != BRIDGE]
    for path, roots in ((BRIDGE, [*runtime, BRIDGE]), *((path, [path]) for path in extensions)):
        needed = [other for other in libraries.order(roots) if other != path and other not in started]
        yield from (f"needs\t{path}\t{other}" for other in needed)


class _Libraries:
    """The libraries of a bundle, and which of them needs which."""

    def __init__(self, root: str, files: Iterable[str]) -> None:
        #: Path -> sonames that it needs.
        self.needed: Dict[str, Tuple[str, ...]] = {}
        self._by_soname: Dict[str, str] = {}
        for path in files:
            if (
                not (".so" in path or path == PYTHON_PROGRAM)
                or path.startswith(f"{MODELS}/")
                or _LOADER.fullmatch(path)
            ):
                continue
            facts = elf.read_elf(os.path.join(root, path))
            if facts is None:
                continue
            self.needed[path] = facts.needed
            self._by_soname.setdefault(facts.soname or posixpath.basename(path), path)

    def order(self, paths: Sequence[str]) -> List[str]:
        """`paths` and all that they need, each after what it needs."""
        done: Dict[str, None] = {}
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
