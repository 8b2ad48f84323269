"""Opening a file that somebody else may have put there: a regular one, or an error at once.

Opening a FIFO waits for whoever writes to it, and a device may never come to its end.
"""

from __future__ import annotations

import errno
import os
import stat
from io import BufferedReader

from aotpack_doctor.base import single_file


class SpecialFileError(OSError):
    """Something lies where a regular file belongs; `strerror` says what."""


def open_regular(path: str, *, follow: bool = True) -> BufferedReader:
    """A regular file for reading.

    Args:
        path: of the file; also of one in a bundle that is one file, such as `mlp.aot/bundle.json`.
        follow: whether the path may be a link to it.

    Raises:
        SpecialFileError: it is something else.
        OSError: it cannot be opened.
    """
    # Without waiting: this has no effect on regular files.
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY | (0 if follow else os.O_NOFOLLOW)
    try:
        descriptor = os.open(path, flags)
    except NotADirectoryError:
        found = single_file.inside(path)
        entry = None if found is None else found[0].find(found[1])
        if found is None or entry is None or entry.offset is None:
            raise
        return found[0].open(entry)
    except OSError as error:
        raise _special(path, error, follow) from None
    try:
        refuse_special(os.fstat(descriptor).st_mode, path)
    except OSError:
        os.close(descriptor)
        raise
    return open(descriptor, "rb")


def read_regular(path: str, *, follow: bool = True) -> bytes:
    """The content of a regular file. Raises as `open_regular` does."""
    with open_regular(path, follow=follow) as stream:
        return stream.read()


def read_text(path: str, errors: str = "strict") -> str:
    """The text of a regular file in UTF-8. Raises as `open_regular` does, and UnicodeDecodeError unless `errors` says
    what stands for bytes that are no text."""
    return read_regular(path).decode("utf-8", errors)


def refuse_special(mode: int, path: str) -> None:
    """Raise SpecialFileError unless `mode` is that of a regular file."""
    if not stat.S_ISREG(mode):
        code = errno.EISDIR if stat.S_ISDIR(mode) else errno.EINVAL
        raise SpecialFileError(code, f"is {kind(mode)}, where a file belongs", path)


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


def _special(path: str, error: OSError, follow: bool) -> OSError:
    """The same error, or a better one: the kernel calls a socket "no such device", and a link a loop."""
    if error.errno not in (errno.ENXIO, errno.ELOOP):
        return error
    try:
        mode = (os.stat if follow else os.lstat)(path).st_mode
    except OSError:
        return error  # such as for links in a circle
    return SpecialFileError(errno.EINVAL, f"is {kind(mode)}, where a file belongs", path)
