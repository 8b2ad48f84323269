"""Workers of exports that need not import torch: a process that has done so forks them (forking_workers.py).

An export that fails at once takes a tenth of a second of processor instead of four, and each other is quicker by as
much. How a worker is started for users is what tests of the command line see, and each that changes the environment.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import select
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from aotpack import resources
from aotpack.exporting import driving
from tests.support import times

_HERE = Path(__file__).resolve().parent
_HEADERS = _HERE.parents[2] / ".cache" / "tests" / "headers"
#: Changes from test to test, and no worker asks for it.
_PYTESTS = "PYTEST_CURRENT_TEST"


class Forked:
    """A worker, as `driving` sees it."""

    def __init__(self, orders: socket.socket, log: IO[bytes]) -> None:
        requests, into = os.pipe()
        out_of, events = os.pipe()
        fate, telling = os.pipe()
        theirs = (requests, events, log.fileno(), telling)
        try:
            socket.send_fds(orders, [os.fsencode(Path.cwd())], theirs)
        finally:
            for descriptor in (requests, events, telling):
                os.close(descriptor)
        self.stdin: IO[str] = os.fdopen(into, "w", encoding="utf-8")
        self.stdout: IO[str] = os.fdopen(out_of, encoding="utf-8")
        self._fate = os.fdopen(fate, encoding="utf-8")
        self._process = int(self._fate.readline())
        self.returncode: Any = None

    def wait(self) -> int:
        """Its exit status, or the number of the signal that ended it, less than 0."""
        if self.returncode is None:
            status, processor = self._fate.readline().split()
            self.returncode = int(status)
            times.add(float(processor))
        return int(self.returncode)

    def end(self) -> None:
        """With the compilers that it started."""
        if _MEASURED and self.returncode is None:
            select.select([self._fate], [], [], 10)  # what ran is written down when it ends by itself
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process, signal.SIGKILL)
        with contextlib.suppress(BrokenPipeError):
            self.stdin.close()
        self.stdout.close()
        self.wait()
        self._fate.close()


@contextlib.contextmanager
def forked(python: Path, log: IO[bytes], workspace: Path) -> Iterator[driving.Worker]:
    """In place of `driving.new_process`, which it leaves the worker to when the environment is not the first one's."""
    if _environment(os.environ) != _FIRST or " " in tempfile.gettempdir():
        with driving.new_process(python, log, workspace) as worker:
            yield worker
        return
    worker = Forked(_forking(python), log)
    try:
        yield worker
    finally:
        worker.end()


def _environment(variables: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in variables.items() if name != _PYTESTS}


#: A forked worker has it, whatever a test has set since.
_FIRST = _environment(os.environ)
#: By `make coverage`.
_MEASURED = "COVERAGE_PROCESS_CONFIG" in _FIRST


@functools.cache
def _forking(python: Path) -> socket.socket:
    """The socket of a process that forks workers."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    command = [python, "-I", _HERE / "forking_workers.py", resources.PACKAGE / "exporting" / "worker", _HEADERS]
    if _MEASURED:
        import coverage

        command.append(Path(coverage.__file__).parent)
    # Other tests run beside it: threads that wait for one another sleep.
    environment = {"OMP_WAIT_POLICY": "passive", **_FIRST}
    with theirs:
        process = subprocess.Popen(command, stdin=theirs, stdout=subprocess.DEVNULL, env=environment)

    @atexit.register
    def end() -> None:
        ours.close()
        process.wait()

    return ours
