"""A second thread for long runs, so that the first one goes on to read, to refuse and to say that it lives."""

from __future__ import annotations

import _thread
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, List


class Computing:
    """One job at a time.

    Attributes:
        is_busy: whether a job was given whose result nobody has taken.
        ended: a file descriptor that can be read when a job has ended.
    """

    def __init__(self) -> None:
        self.is_busy = False
        self.ended, self._tell = os.pipe()
        os.set_blocking(self.ended, False)
        self._given = _thread.allocate_lock()
        self._given.acquire()
        self._jobs: List[Callable[[], Any]] = []
        self._results: List[Any] = []
        _thread.start_new_thread(self._work, ())

    def give(self, job: Callable[[], Any]) -> None:
        """Start a job, which raises nothing; there must be none."""
        self.is_busy = True
        self._jobs.append(job)
        self._given.release()

    def take(self) -> Any:
        """The result of the job that has ended."""
        os.read(self.ended, 64)
        self.is_busy = False
        return self._results.pop()

    def _work(self) -> None:
        while True:
            self._given.acquire()
            self._results.append(self._jobs.pop()())
            os.write(self._tell, b"\0")
