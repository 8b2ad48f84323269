"""Several compilations of one program at the same time, each in a process that this one forks.

Each binds its process to an instruction set (`isas.pin`), which is why they need one each. Forked, they share the
program and its weights with this process, and need not import torch again. What they make lies in files.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..failure import WorkerError, unforeseen

#: What a compilation takes of memory, times the weights: Inductor's copy, the one that it writes, and some air.
_COPIES = 3
_ANSWER = "answer.json"


def run(
    work: Mapping[str, Callable[[Path], dict[str, Any]]],
    folder: Path,
    *,
    at_once: int,
    finished: Callable[[Sequence[str]], None],
) -> dict[str, dict[str, Any]]:
    """Answers by name, in the order of `work`.

    Args:
        work: what to do, by name; each gets an empty folder of its own, and returns what JSON can say.
        folder: where these are made.
        at_once: so many at the same time.
        finished: told the names that are still to come.

    Raises WorkerError, the first that one raises. The others are then ended.
    """
    waiting = list(work)
    running: dict[str, _Child] = {}
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                name = waiting.pop(0)
                place = folder / name
                place.mkdir()
                running[name] = _fork(work[name], place)
            # Not os.wait(): this process may have children that are somebody else's.
            ended, _, _ = select.select([child.end for child in running.values()], [], [])
            for name in [name for name, child in running.items() if child.end in ended]:
                _refuse_failure(folder / name, name, running.pop(name).status())
                finished([other for other in work if other in waiting or other in running])
    finally:
        for child in running.values():
            os.kill(child.process, signal.SIGKILL)
            child.status()
    return {name: json.loads((folder / name / _ANSWER).read_text()) for name in work}


def most_at_once(weights: int) -> int:
    """How many compilations of a model this machine's memory allows.

    Args:
        weights: bytes.
    """
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return max(1, min(len(os.sched_getaffinity(0)) * 2, free // max(weights * _COPIES, 1)))


@dataclass(frozen=True)
class _Child:
    process: int
    #: Of a pipe that ends when the child does.
    end: int

    def status(self) -> int:
        """Wait for it: its exit status, or the number of the signal that ended it, less than 0."""
        os.close(self.end)
        _, status = os.waitpid(self.process, 0)
        return os.waitstatus_to_exitcode(status)


def _fork(task: Callable[[Path], dict[str, Any]], place: Path) -> _Child:
    sys.stderr.flush()
    end, held = os.pipe()
    with warnings.catch_warnings():
        # Python 3.12 warns where other threads may hold locks: torch's are idle, and the child starts none of them.
        warnings.simplefilter("ignore", DeprecationWarning)
        process = os.fork()
    if process:
        os.close(held)
        return _Child(process, end)
    # The child: whatever happens, it never returns to what its parent was doing.
    try:
        answer = _answer(task, place)
        (place / _ANSWER).write_text(json.dumps(answer))
        sys.stderr.flush()
        os._exit(0)
    finally:
        os._exit(1)


def _answer(task: Callable[[Path], dict[str, Any]], place: Path) -> dict[str, Any]:
    try:
        return task(place)
    except WorkerError as error:
        return error.document()
    except BaseException as error:  # noqa: BLE001
        traceback.print_exc()
        return unforeseen(error, "compiling with AOTInductor", None).document()


def _refuse_failure(place: Path, name: str, status: int) -> None:
    if status == 0:
        document = json.loads((place / _ANSWER).read_text())
        if document.get("event") == "error":
            del document["event"]
            raise WorkerError(document.pop("what"), **document)
        return
    ended = f"was ended by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
    raise WorkerError(
        f"the compilation for {name} {ended}",
        meaning="most likely the machine ran out of memory"
        if status == -signal.SIGKILL
        else "torch, a library of it or the compiler crashed",
        fix="use a machine with more memory, or fewer variants: --cpu-isa avx2"
        if status == -signal.SIGKILL
        else "run again with -v and report what it says",
    )
