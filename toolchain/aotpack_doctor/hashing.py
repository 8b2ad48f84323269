"""SHA-256 of files, several at a time: OpenSSL and the bundle's own library let other threads run meanwhile."""

from __future__ import annotations

import ctypes
import hashlib
import os
import struct
import threading
from typing import Any, Callable, Iterable

#: Makes something like `hashlib.sha256()`: with `update` and `hexdigest`.
New = Callable[[], Any]

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
    return "openssl" in hashlib.sha256.__name__


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


def sha256_of(path: str, progress: Callable[[int], None] = lambda _done: None, new: New = hashlib.sha256) -> str:
    """SHA-256 of a file, in hexadecimal digits; `progress` is told the bytes just done. Raises OSError."""
    return _digest(path, memoryview(bytearray(_BUFFER)), progress, new)


def sha256_of_all(
    paths: Iterable[str], progress: Callable[[int], None], new: New = hashlib.sha256
) -> dict[str, str | OSError]:
    """SHA-256 of every file, or why it cannot be read. `progress` is called by one thread at a time."""
    waiting = sorted(paths, key=_size)  # the longest first, so that no thread is left alone with it at the end
    found: dict[str, str | OSError] = {}
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
                path = waiting.pop()
            except IndexError:
                return
            try:
                found[path] = _digest(path, buffer, advance, new)
            except OSError as error:
                found[path] = error
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


def _digest(path: str, buffer: memoryview, progress: Callable[[int], None], new: New) -> str:
    digest = new()
    with open(path, "rb", buffering=0) as stream:
        while True:
            size = stream.readinto(buffer)
            if not size:
                return str(digest.hexdigest())
            digest.update(buffer[:size])
            progress(size)


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0
