"""SHA-256 of files, several at a time: OpenSSL and the bundle's own library let other threads run meanwhile.

A large file is sealed by its whole content and by its pieces: one core hashes slower than a disk reads, so whoever
checks a file of gigabytes checks its pieces side by side, on all cores, and on each as many as the CPU takes at once.
"""

from __future__ import annotations

import ctypes
import itertools
import os
import struct
import threading
from typing import Any, Callable, Iterable, Iterator, NamedTuple, Optional, Sequence, Tuple

from aotpack_doctor.base.regular import open_regular

try:
    from hashlib import sha256
except ImportError:  # in a bundle: hashlib wants every hash there is, and this needs one
    try:
        from _sha2 import sha256  # type: ignore[import-not-found, no-redef]
    except ImportError:  # before Python 3.12
        from _sha256 import sha256  # type: ignore[import-not-found, no-redef]

#: Bytes of a piece, of which the last may be shorter. A file up to this size has none.
PIECE = 1 << 26

_BLOCK = 64
_BUFFER = 1 << 20
#: More readers than this gain nothing, and make a spinning disk seek.
_MOST_THREADS = 8
#: While one waits for the disk, others hash. Measured on two cores, 4,000 MB from disk: 8 threads 2.4 to 2.6 s,
#: 4 threads 2.6 to 3.0, 2 threads 3.0 to 3.1.
_THREADS_A_CORE = 4
#: FIPS 180-4, 5.3.3.
_START = struct.unpack(">8I", bytes.fromhex("6a09e667bb67ae853c6ef372a54ff53a510e527f9b05688c1f83d9ab5be0cd19"))

#: A hash that is being made, and the bytes that come next in it.
Feed = Tuple[Any, memoryview]


class Implementation(NamedTuple):
    """A way to compute SHA-256."""

    #: Makes something like `sha256()`: with `update` and `hexdigest`.
    new: Callable[[], Any]
    #: Takes bytes into up to `lanes` of those.
    feed: Callable[[Sequence[Feed]], None]
    #: How many a thread makes in little more than the time of one.
    lanes: int


def _one_by_one(feeds: Sequence[Feed]) -> None:
    for digest, data in feeds:
        digest.update(data)


#: Python's own.
PYTHONS = Implementation(sha256, _one_by_one, 1)


def native(library: str) -> Implementation:
    """SHA-256 by a library (templates/hash). Raises OSError or AttributeError when it is none."""
    loaded = ctypes.CDLL(library)
    blocks = loaded.aot_sha256_blocks
    blocks.restype = None
    blocks.argtypes = (ctypes.c_void_p, ctypes.c_void_p)

    def feed(feeds: Sequence[Feed]) -> None:
        for digest, data in feeds:
            digest.take(data)
        one, other = [ctypes.byref(digest.stream) for digest, _data in feeds] + [None] * (2 - len(feeds))
        blocks(one, other)

    return Implementation(lambda: _Native(feed), feed, loaded.aot_sha256_lanes())


def fastest(library: str) -> Implementation:
    """A library's SHA-256 or Python's own: OpenSSL's is faster on a CPU without instructions for it."""
    try:
        implementation = native(library)
    except (OSError, AttributeError):  # of another machine's type: then it takes longer
        return PYTHONS
    return PYTHONS if implementation.lanes == 1 and "openssl" in sha256.__name__ else implementation


class _Stream(ctypes.Structure):
    """`struct stream` of the library."""

    _fields_ = (("state", ctypes.c_uint32 * 8), ("data", ctypes.c_void_p), ("blocks", ctypes.c_size_t))


class _Native:
    def __init__(self, feed: Callable[[Sequence[Feed]], None]) -> None:
        self.stream = _Stream(_START)
        self._feed = feed
        self._size = 0
        self._rest = b""
        self._taken: Any = None

    def update(self, data: bytes | memoryview) -> None:
        self._feed([(self, memoryview(data))])

    def take(self, data: memoryview) -> None:
        """Give the stream the whole blocks of what was kept and `data`, which must not change until it has run."""
        self._size += len(data)
        if self._rest or data.readonly:
            data = memoryview(bytearray(self._rest + data))
        whole = len(data) // _BLOCK * _BLOCK
        self._rest = bytes(data[whole:])
        self._taken = (ctypes.c_char * whole).from_buffer(data)
        self.stream.data = ctypes.addressof(self._taken)
        self.stream.blocks = whole // _BLOCK

    def hexdigest(self) -> str:
        last = _Native(self._feed)
        last.stream.state = self.stream.state
        zeros = bytes(-(len(self._rest) + 9) % _BLOCK)
        last.update(self._rest + b"\x80" + zeros + struct.pack(">Q", 8 * self._size))
        return struct.pack(">8I", *last.stream.state).hex()


class Range(NamedTuple):
    """Bytes of a file: `size` of them from `start`, or all up to the end."""

    path: str
    start: int = 0
    size: Optional[int] = None


def pieces(path: str, size: int, begin: int = 0) -> tuple[Range, ...]:
    """The pieces of `size` bytes of a file from `begin` on, in order; none when they are few."""
    starts = range(0, size, PIECE) if size > PIECE else ()
    return tuple(Range(path, begin + start, min(PIECE, size - start)) for start in starts)


def sealed(
    path: str, size: int, digest: str, piece_digests: Sequence[str] = (), begin: int | None = None
) -> dict[Range, str]:
    """What to hash to know that a file is as it was sealed, with the hashes that must come out.

    Args:
        path: of a file that has `size` bytes.
        size: bytes, as sealed.
        digest: SHA-256 of the content.
        piece_digests: those of its `pieces`; anything else than one for each means that they are not to be used.
        begin: where in `path` it begins, when it is a part of it.
    """
    parts = pieces(path, size, begin or 0)
    if len(parts) != len(piece_digests) or not parts:
        return {Range(path) if begin is None else Range(path, begin, size): digest}
    return {part: piece_digests[index] for index, part in enumerate(parts)}


def first_difference(
    expected: dict[Range, str], found: dict[Range, str | OSError]
) -> OSError | tuple[str, str, str] | None:
    """What is wrong with a file, from `sealed` and `sha256_of_all`: why it cannot be read, or (which bytes, their
    SHA-256, the sealed one) of the first place that differs."""
    for part, digest in expected.items():
        actual = found[part]
        if isinstance(actual, OSError):
            return actual
        if actual != digest:
            where = "" if part.size is None else f" of bytes {part.start} to {part.start + part.size - 1}"
            return where, actual, digest
    return None


def sha256_of(path: str) -> str:
    """SHA-256 of a file, in hexadecimal digits. Raises OSError."""
    digest = sha256()
    for data in _contents(Range(path), memoryview(bytearray(_BUFFER))):
        digest.update(data)
    return digest.hexdigest()


def sha256_of_all(
    ranges: Iterable[Range], progress: Callable[[int], None], by: Implementation = PYTHONS
) -> dict[Range, str | OSError]:
    """SHA-256 of every range, or why it cannot be read. `progress` is called by one thread at a time."""
    waiting = sorted(ranges, key=_size)  # the longest first, so that no thread is left alone with it at the end
    found: dict[Range, str | OSError] = {}
    failures: list[Exception] = []
    lock = threading.Lock()
    stopped = False

    def lane() -> Iterator[Feed]:
        """One range after the other, as long as there are any."""
        buffer = memoryview(bytearray(_BUFFER))
        while True:
            try:
                part = waiting.pop()
            except IndexError:
                return
            digest = by.new()
            try:
                for data in _contents(part, buffer):
                    yield digest, data
                found[part] = digest.hexdigest()
            except OSError as error:
                found[part] = error

    def work() -> None:
        nonlocal stopped
        try:
            for step in itertools.zip_longest(*(lane() for _ in range(by.lanes))):
                feeds = [feed for feed in step if feed is not None]
                by.feed(feeds)
                with lock:
                    if stopped:
                        return
                    progress(sum(len(data) for _digest, data in feeds))
        except Exception as error:  # noqa: BLE001  (nobody would hear of it in this thread)
            failures.append(error)
            stopped = True

    cores = len(os.sched_getaffinity(0))
    most = min(_THREADS_A_CORE * cores, -(-len(waiting) // by.lanes), _MOST_THREADS)
    threads = [threading.Thread(target=work, daemon=True) for _ in range(most)]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            thread.join()
    finally:
        stopped = True  # when this thread is interrupted the others end as well
    if failures:
        raise failures[0]
    return found


def _contents(part: Range, buffer: memoryview) -> Iterator[memoryview]:
    """The bytes of a range, a buffer at a time. Raises OSError."""
    left = part.size
    with open_regular(part.path) as stream:
        stream.seek(part.start)
        while left != 0:
            size = stream.readinto(buffer if left is None else buffer[:left])
            if not size:
                break
            yield buffer[:size]
            if left is not None:
                left -= size


def _size(part: Range) -> tuple[int, int]:
    """By which ranges are sorted; of equal ones the first of a file is taken first, as a disk likes it."""
    if part.size is not None:
        return part.size, -part.start
    try:
        return os.stat(part.path).st_size, 0
    except OSError:
        return 0, 0
