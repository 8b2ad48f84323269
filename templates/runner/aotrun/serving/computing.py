"""A second thread for long runs, so that the first one goes on to read, to refuse and to say that it lives."""

from __future__ import annotations

import _thread
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, List, Optional, Tuple


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
        self._results: List[Tuple[Any, Optional[BaseException]]] = []
        _thread.start_new_thread(self._work, ())

    def give(self, job: Callable[[], Any]) -> None:
        """Start a job; there must be none."""
        self.is_busy = True
        self._jobs.append(job)
        self._given.release()

    def take(self) -> Any:
        """The result of the job that has ended. Raises what the job raised."""
        os.read(self.ended, 64)
        self.is_busy = False
        result, error = self._results.pop()
        if error is not None:
            raise error
        return result

    def _work(self) -> None:
        while True:
            self._given.acquire()
            try:
                self._results.append((self._jobs.pop()(), None))
            except BaseException as error:  # noqa: BLE001  it is the other thread's to bear
                self._results.append((None, error))
            os.write(self._tell, b"\0")
