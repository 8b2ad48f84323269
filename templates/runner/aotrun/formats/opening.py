"""Opening files that others may have put there: what is opened is what was meant, at once or not at all.

Opening a FIFO waits for its other end, a device may never come to its end, and a link leads elsewhere.
"""

from __future__ import annotations

import errno
import io
import os
import stat

from aotrun.formats import bundle_files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO, Tuple

_FOR_READING = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY


class SpecialFileError(OSError):
    """Something lies where a file belongs; `strerror` says what."""


def open_regular(path: str) -> BinaryIO:
    """A regular file for reading, also one of a bundle that is one file. Raises OSError."""
    try:
        descriptor = _opened(path)
    except NotADirectoryError:
        stream = bundle_files.open_inside(path)
        if stream is None:
            raise
        return stream
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        raise _special(mode, path)
    return os.fdopen(descriptor, "rb")


def open_input(path: str) -> BinaryIO:
    """A file of a user for reading, as one that can seek: a regular one, or all that comes out of a pipe, such as
    /dev/stdin or a shell's `<(...)`; `-` is standard input. Raises OSError.

    A pipe to which nobody writes is empty, instead of waiting for somebody.
    """
    if path == "-":
        if stat.S_ISCHR(os.fstat(0).st_mode) and not os.isatty(0):
            raise _special(os.fstat(0).st_mode, path)
        with os.fdopen(os.dup(0), "rb") as stream:
            return io.BytesIO(stream.read())
    descriptor = _opened(path)
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return os.fdopen(descriptor, "rb")
    if not stat.S_ISFIFO(mode):
        os.close(descriptor)
        raise _special(mode, path)
    os.set_blocking(descriptor, True)
    with os.fdopen(descriptor, "rb") as stream:
        content = stream.read()
    if not content:
        raise SpecialFileError(errno.EINVAL, "is a pipe that nobody writes to", path)
    return io.BytesIO(content)


def create_beside(path: str) -> Tuple[BinaryIO, str]:
    """A new file in the same folder, and its name; whatever is there under that name is not followed, nor changed.
    Raises OSError."""
    while True:
        name = f"{path}.{os.urandom(4).hex()}.part"
        try:
            descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        except FileExistsError:
            continue
        return os.fdopen(descriptor, "wb"), name


def open_pipe(path: str) -> BinaryIO:
    """The FIFO at `path` for writing. Raises OSError, also when nobody reads from it."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        raise SpecialFileError(errno.ENXIO, "is a FIFO that nobody reads from", path) from None
    os.set_blocking(descriptor, True)
    return os.fdopen(descriptor, "wb")


def kind(mode: int) -> str:
    """What a file of this mode is, for people."""
    kinds = (
        (stat.S_ISREG, "a file"),
        (stat.S_ISDIR, "a folder"),
        (stat.S_ISLNK, "a link"),
        (stat.S_ISFIFO, "a FIFO"),
        (stat.S_ISSOCK, "a socket"),
    )
    return next((name for test, name in kinds if test(mode)), "a device")


def _opened(path: str) -> int:
    try:
        return os.open(path, _FOR_READING)
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        raise _special(os.stat(path).st_mode, path) from None  # the kernel calls a socket "no such device"


def _special(mode: int, path: str) -> SpecialFileError:
    return SpecialFileError(errno.EINVAL, f"is {kind(mode)}, where a file belongs", path)
