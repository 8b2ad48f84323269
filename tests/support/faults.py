"""Ends a piece of work at a moment that it names itself (`aotpack.tools.steps`), in a process of its own."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from aotpack.tools import steps


@dataclass(frozen=True)
class Ended:
    """How the work ended.

    Attributes:
        status: the exit code; negative, the signal that ended it.
        reached: the steps, in order, the last one included.
        stderr: what it said.
    """

    status: int
    reached: tuple[str, ...]
    stderr: str


def kill(number: int = signal.SIGKILL) -> Callable[[], None]:
    """A fault: a signal to the process itself."""
    return lambda: os.kill(os.getpid(), number)


def fail(code: int) -> Callable[[], None]:
    """A fault: the system's error with this number, as from a call at that moment."""

    def raise_it() -> None:
        raise OSError(code, os.strerror(code))

    return raise_it


def run(work: Callable[[], object], step: str | None = None, fault: Callable[[], None] | None = None) -> Ended:
    """Do some work in a child, and let a fault happen when it reaches `step` for the first time."""
    with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as reached:
        with warnings.catch_warnings():
            # Of threads in this process: the child starts none of its own before it ends, and waits for none of these.
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if child == 0:
            _in_child(work, step, fault, said.fileno(), reached.fileno())
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        said.seek(0)
        reached.seek(0)
        return Ended(status, tuple(reached.read().decode().split()), said.read().decode(errors="replace"))


def _in_child(
    work: Callable[[], object], step: str | None, fault: Callable[[], None] | None, said: int, reached: int
) -> None:
    os.dup2(os.open(os.devnull, os.O_RDWR), 0)
    os.dup2(0, 1)
    os.dup2(said, 2)
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115  to the end of this process
    sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115
    # Whoever started the tests in the background may have had some ignored, and that is inherited.
    for ending in (signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM):
        signal.signal(ending, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    left = [fault] if fault is not None else []

    def listen(name: str) -> None:
        os.write(reached, f"{name}\n".encode())
        if name == step and left:
            left.pop()()

    steps.listener = listen
    status = 0
    try:
        work()
    except SystemExit as stop:
        status = stop.code if isinstance(stop.code, int) else 1
    except BaseException:  # noqa: BLE001  a test's own failure is told like any other
        traceback.print_exc()
        status = 99
    sys.stderr.flush()
    os._exit(status)


def names_in(folder: Path) -> list[str]:
    """What lies in a folder, sorted."""
    return sorted(path.name for path in folder.iterdir())
