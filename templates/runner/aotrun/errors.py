"""Every failure a user can meet. An error is three lines: what is wrong, what it means, what to do next.

The numbers are the exit codes of the command line and the statuses of the C API.
"""

from __future__ import annotations

import errno
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, Tuple, Type


class AotError(Exception):
    """Base of all errors of this package.

    Args:
        what: what is wrong, with the values seen.
        meaning: what that means for the user.
        fix: what to type or do next.
    """

    exit_code = 1

    def __init__(self, what: str, meaning: str = "", fix: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.meaning = meaning
        self.fix = fix

    @property
    def lines(self) -> Tuple[str, ...]:
        """What is to be shown, line by line."""
        return tuple(line for line in (self.what, self.meaning, self.fix) if line)

    def __str__(self) -> str:
        return "\n".join(self.lines)


class RunError(AotError, RuntimeError):
    """The model or the runtime raised an error."""


class UsageError(AotError, ValueError):
    """An argument or an input does not fit: count, name, dtype, rank, size, device, or a file that cannot be read."""

    exit_code = 2


class ModelMismatchError(AotError):
    """The model does not fit this bundle or machine type."""

    exit_code = 5


class DamagedError(AotError):
    """A file of the bundle or of the model is missing, truncated or malformed."""

    exit_code = 6


class MachineMismatchError(AotError):
    """This machine cannot run it: driver, device, CPU features, libc."""

    exit_code = 7


#: Errors of the system that say nothing of the file itself: errno -> what there is no more of.
_SHORTAGES = {errno.ENOMEM: "memory", errno.EMFILE: "open files", errno.ENFILE: "open files"}


def refused(path: str, error: OSError) -> AotError:
    """The error for a file of the bundle that the system does not let this process have. That the file is damaged is
    the last thing to think of."""
    what = f"{path}: {error.strerror or error}"
    if error.errno in _SHORTAGES:
        return out_of(_SHORTAGES[error.errno], what)
    if error.errno in (errno.EACCES, errno.EPERM):
        return MachineMismatchError(
            what,
            "This user has no permission, or the file lies on a file system that forbids execution (noexec).",
            "Run: chmod -R a+rX BUNDLE. A mount with noexec shows in: findmnt -T BUNDLE",
        )
    return DamagedError(what, "A file of the bundle is missing or damaged.", "Copy the whole bundle again.")


def out_of(resource: str, what: str) -> AotError:
    """The error of a process that may have no more memory or open files."""
    return RunError(
        what,
        f"This process may have no more {resource}; of the bundle this says nothing.",
        "See: ulimit -a, free -m. Raise the limit, or let the process have less at once.",
    )


def printable(text: str) -> str:
    """The text with an escape in place of each character that is not to be seen: names are whoever's made the files."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


_BY_STATUS: Dict[int, Type[AotError]] = {
    cls.exit_code: cls for cls in (RunError, UsageError, ModelMismatchError, DamagedError, MachineMismatchError)
}


def from_status(status: int, message: str) -> AotError:
    """The error of a C API status and its three-line message."""
    lines = [*message.split("\n", 2), "", ""]
    return _BY_STATUS.get(status, RunError)(lines[0], lines[1], lines[2])


def report(error: AotError) -> None:
    """Print an error's three lines on standard error, whatever is in the file names that they speak of."""
    print("error: " + "\n".join(map(printable, map(_named, error.lines))), file=sys.stderr)


def _named(line: str) -> str:
    """A line with the name of the file that is the whole bundle, which this process knows by its descriptor."""
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    return line if os.path.isdir(root) else line.replace(root, os.path.realpath(root))
