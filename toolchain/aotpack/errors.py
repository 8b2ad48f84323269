"""Every failure a user can meet, each with the exit code that scripts rely on.

An error is three lines: what is wrong (with the values seen), what it means, and what to type next.
The exit codes are a contract (the table in the README); the C API uses the same numbers as statuses.
"""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar


class AotpackError(Exception):
    """Base of all errors shown to a user.

    Args:
        what: what is wrong, with the values seen.
        meaning: what that means for the user.
        fix: what to type or do next.
        detail: further output to show indented below, such as a compiler's.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, what: str, *, meaning: str, fix: str, detail: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.meaning = meaning
        self.fix = fix
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.what}\n{self.meaning}\n{self.fix}"

    def __reduce__(self) -> Any:
        # What Python does by itself is to call it with `what` alone. Errors go from a pool's process to its owner.
        made = partial(type(self), meaning=self.meaning, fix=self.fix, detail=self.detail)
        return made, (self.what,), self.__dict__


class UsageError(AotpackError):
    """The command line, or a file named on it, cannot be used as asked."""

    exit_code = 2


class TorchMismatchError(AotpackError):
    """The torch that was found does not serve the requested backend, or there is none."""

    exit_code = 3


class BuildToolError(AotpackError):
    """A build tool is missing or failed: compiler, cmake, ninja, patchelf, pip."""

    exit_code = 4


class ModelMismatchError(AotpackError):
    """The model does not fit this bundle or machine type."""

    exit_code = 5


class DamagedError(AotpackError):
    """A bundle or a package is damaged, incomplete or not what it claims to be."""

    exit_code = 6


class MachineMismatchError(AotpackError):
    """This machine cannot run it: driver, CPU features, libc."""

    exit_code = 7
