"""SHA-256 of files, several at a time: OpenSSL and the bundle's own library let other threads run meanwhile.

A large file is sealed by its whole content and by its pieces: one core hashes slower than a disk reads, so whoever
checks a file of gigabytes checks its pieces side by side.
"""

from __future__ import annotations

import ctypes
import os
import struct
import threading
from typing import Any, Callable, Iterable, NamedTuple, Optional, Sequence

try:
    from hashlib import sha256
except ImportError:  # in a bundle: hashlib wants every hash there is, and this needs one
    try:
        from _sha2 import sha256  # type: ignore[import-not-found, no-redef]
    except ImportError:  # before Python 3.12
        from _sha256 import sha256  # type: ignore[import-not-found, no-redef]

#: Makes something like `sha256()`: with `update` and `hexdigest`.
New = Callable[..., Any]
#: Python's own.
PYTHONS: New = sha256

#: Bytes of a piece, of which the last may be shorter. A file up to this size has none.
PIECE = 1 << 26

_BLOCK = 64
_BUFFER = 1 << 20
#: More readers than this gain nothing, and make a spinning disk seek.
_MOST_THREADS = 8
#: FIPS 180-4, 5.3.3.
_START = struct.unpack(">8I", bytes.fromhex("6a09e667bb67ae853c6ef372a54ff53a510e527f9b05688c1f83d9ab5be0cd19"))


def native(library: str) -> New:
    """SHA-256 by `aot_sha256_blocks` of a library (templates/hash). Raises OSError when it cannot be loaded."""
    blocks = ctypes.CDLL(library).aot_sha256_blocks
    blocks.restype = None
    blocks.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
    return lambda: _Native(blocks)


def has_openssl() -> bool:
    """Whether Python's own SHA-256 is a fast one."""
    return "openssl" in sha256.__name__


class _Native:
    def __init__(self, blocks: Callable[[Any, Any, int], None]) -> None:
        self._blocks = blocks
        self._state = (ctypes.c_uint32 * 8)(*_START)
        self._size = 0
        self._rest = b""

    def update(self, data: bytes | memoryview) -> None:
        self._size += len(data)
        if self._rest or isinstance(data, bytes):
            data = memoryview(bytearray(self._rest + data))
        whole = len(data) // _BLOCK * _BLOCK
        if whole:
            self._blocks(self._state, (ctypes.c_char * whole).from_buffer(data), whole // _BLOCK)
        self._rest = bytes(data[whole:])

    def hexdigest(self) -> str:
        zeros = bytes(-(len(self._rest) + 9) % _BLOCK)
        last = self._rest + b"\x80" + zeros + struct.pack(">Q", 8 * self._size)
        state = (ctypes.c_uint32 * 8)(*self._state)
        self._blocks(state, last, len(last) // _BLOCK)
        return struct.pack(">8I", *state).hex()


class Range(NamedTuple):
    """Bytes of a file: `size` of them from `start`, or all up to the end."""

    path: str
    start: int = 0
    size: Optional[int] = None


def pieces(path: str, size: int) -> tuple[Range, ...]:
    """The pieces of a file of `size` bytes, in order; none when it is small."""
    starts = range(0, size, PIECE) if size > PIECE else ()
    return tuple(Range(path, start, min(PIECE, size - start)) for start in starts)


def sealed(path: str, size: int, digest: str, piece_digests: Sequence[str] = ()) -> dict[Range, str]:
    """What to hash to know that a file is as it was sealed, with the hashes that must come out.

    Args:
        path: of a file that has `size` bytes.
        size: bytes, as sealed.
        digest: SHA-256 of the content.
        piece_digests: those of its `pieces`; anything else than one for each means that they are not to be used.
    """
    parts = pieces(path, size)
    if len(parts) != len(piece_digests) or not parts:
        return {Range(path): digest}
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


def sha256_of(path: str, progress: Callable[[int], None] = lambda _done: None, new: New = PYTHONS) -> str:
    """SHA-256 of a file, in hexadecimal digits; `progress` is told the bytes just done. Raises OSError."""
    return _digest(Range(path), memoryview(bytearray(_BUFFER)), progress, new)


def sha256_of_all(
    ranges: Iterable[Range], progress: Callable[[int], None], new: New = PYTHONS
) -> dict[Range, str | OSError]:
    """SHA-256 of every range, or why it cannot be read. `progress` is called by one thread at a time."""
    waiting = sorted(ranges, key=_size)  # the longest first, so that no thread is left alone with it at the end
    found: dict[Range, str | OSError] = {}
    failures: list[Exception] = []
    lock = threading.Lock()
    stop = threading.Event()

    def advance(count: int) -> None:
        if stop.is_set():
            raise InterruptedError
        with lock:
            progress(count)

    def work() -> None:
        buffer = memoryview(bytearray(_BUFFER))
        while True:
            try:
                part = waiting.pop()
            except IndexError:
                return
            try:
                found[part] = _digest(part, buffer, advance, new)
            except OSError as error:
                found[part] = error
            except Exception as error:  # noqa: BLE001  (nobody would hear of it in this thread)
                failures.append(error)

    cpus = len(os.sched_getaffinity(0))
    threads = [threading.Thread(target=work, daemon=True) for _ in range(min(cpus, len(waiting), _MOST_THREADS))]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            thread.join()
    finally:
        stop.set()  # when this thread is interrupted the others end as well
        waiting.clear()
    if failures:
        raise failures[0]
    return found


def _digest(part: Range, buffer: memoryview, progress: Callable[[int], None], new: New) -> str:
    digest = new()
    left = part.size
    with open(part.path, "rb", buffering=0) as stream:
        stream.seek(part.start)
        while left != 0:
            size = stream.readinto(buffer if left is None else buffer[:left])
            if not size:
                break
            digest.update(buffer[:size])
            progress(size)
            if left is not None:
                left -= size
    return str(digest.hexdigest())


def _size(part: Range) -> tuple[int, int]:
    """By which ranges are sorted; of equal ones the first of a file is taken first, as a disk likes it."""
    if part.size is not None:
        return part.size, -part.start
    try:
        return os.stat(part.path).st_size, 0
    except OSError:
        return 0, 0
