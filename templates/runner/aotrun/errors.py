"""Every failure a user can meet. An error is three lines: what is wrong, what it means, what to do next.

The numbers are the exit codes of the command line and the statuses of the C API.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, Type


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

    def __str__(self) -> str:
        return "\n".join(line for line in (self.what, self.meaning, self.fix) if line)


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


_BY_STATUS: Dict[int, Type[AotError]] = {
    cls.exit_code: cls for cls in (RunError, UsageError, ModelMismatchError, DamagedError, MachineMismatchError)
}


def from_status(status: int, message: str) -> AotError:
    """The error of a C API status and its three-line message."""
    lines = [*message.split("\n", 2), "", ""]
    return _BY_STATUS.get(status, RunError)(lines[0], lines[1], lines[2])
