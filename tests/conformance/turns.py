"""Times one model in two bundles, turn by turn, so that what else the machine does hits both alike.

Each bundle runs in a process of its own, which answers on a pipe. A call's time is the least that was seen: work of
others only ever adds to it.

    python turns.py BUNDLE MODEL THREADS        # what a process does; the test starts two of them
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from time import perf_counter, sleep
from types import TracebackType

import numpy as np

#: Seconds of calls in one turn, and how long the other's idle threads are given to fall asleep before it.
TURN, PAUSE = 0.05, 0.005


class Bundle:
    """One bundle's process. Use as a context."""

    def __init__(self, folder: Path, model: str, threads: int) -> None:
        # As `aotrun` has it: threads that wait give way to whoever else computes.
        env = {**os.environ, "OMP_WAIT_POLICY": "passive"}
        command = [sys.executable, __file__, folder, model, str(threads)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)

    def __enter__(self) -> Bundle:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.__exit__(kind, error, trace)  # closes the pipes, on which it ends, and waits

    def _ask(self, question: str) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(question, file=self._process.stdin, flush=True)
        answer = self._process.stdout.readline()
        assert answer, f"the process of the bundle ended with {self._process.wait()}"
        return answer.strip()

    def turn(self) -> float:
        """The least time of a call during one turn, ms."""
        return float(self._ask("turn"))

    def outputs(self) -> list[tuple[str, list[float]]]:
        """What the model gives for its recorded inputs: the dtype and the elements of each output."""
        return [(dtype, elements) for dtype, elements in json.loads(self._ask("outputs"))]


def least(slim: Bundle, full: Bundle, turns: int) -> tuple[float, float]:
    """The least time of a call in each of two bundles, ms."""
    times = [(slim.turn(), full.turn()) for _ in range(turns)]
    return min(a for a, _ in times), min(b for _, b in times)


def serve(folder: str, name: str, threads: int) -> None:
    """Answer the questions of `Bundle` until there are no more."""
    sys.path.insert(0, f"{folder}/runner")
    import aotrun
    from aotrun.library.sample import read_sample, sample_inputs

    model = aotrun.load(folder, model=name, threads=threads)
    sample = read_sample(f"{folder}/models/{name}")
    assert sample is not None
    recorded = sample_inputs(sample, model.inputs)
    assert recorded is not None
    inputs = [np.frombuffer(x.data, x.dtype.typestr).reshape(x.shape) for x in recorded]
    model(*inputs)
    for line in sys.stdin:
        if line.strip() == "outputs":
            outputs = model.run(*inputs).outputs.values()
            print(json.dumps([[output.dtype.name, output.flat()] for output in outputs]), flush=True)
            continue
        sleep(PAUSE)
        best, end = float("inf"), perf_counter() + TURN
        while (start := perf_counter()) < end:
            model(*inputs)
            best = min(best, perf_counter() - start)
        print(best * 1e3, flush=True)


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2], int(sys.argv[3]))
