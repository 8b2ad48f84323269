"""Callers of one model at the same time: calls a second for 1, 2, 4 and 16 of them, and one call on a busy machine.

    python -m benchmarks.callers BUNDLE [--model NAME] [--seconds S]

Every caller is a thread with a runner of its own. Beside the default each number of callers runs with one thread a
call, which is what throughput is compared with. The busy machine has as many processes as processors that do nothing
but count.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import sys
import threading
import time
from pathlib import Path
from typing import Any

CALLERS = (1, 2, 4, 16)


def sample_inputs(model: Any) -> list[memoryview]:
    """Zeros of the least sizes that the model allows."""
    arrays = []
    for spec in model.inputs:
        shape = tuple(max(dim.min, 1) for dim in spec.dims)
        kind, size = {"float32": ("f", 4), "int64": ("q", 8), "int32": ("i", 4)}[str(spec.dtype)]
        count = 1
        for extent in shape:
            count *= extent
        arrays.append(memoryview(bytearray(count * size)).cast(kind, shape))
    return arrays


def calls_a_second(model: Any, inputs: list[memoryview], callers: int, seconds: float) -> float:
    """What `callers` threads reach together."""
    counts = [0] * callers
    end = time.monotonic() + seconds

    def call(number: int) -> None:
        while time.monotonic() < end:
            model(*inputs)
            counts[number] += 1

    threads = [threading.Thread(target=call, args=(number,)) for number in range(callers)]
    begin = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / (time.monotonic() - begin)


def median_ms(model: Any, inputs: list[memoryview], seconds: float) -> float:
    """Of one call after the other."""
    times = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        begin = time.perf_counter()
        model(*inputs)
        times.append((time.perf_counter() - begin) * 1e3)
    return statistics.median(times)


def count_for_ever() -> None:
    """Wants a processor."""
    while True:
        pass


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--model")
    parser.add_argument("--seconds", type=float, default=5)
    options = parser.parse_args()
    sys.path.insert(0, str(options.bundle / "runner"))
    import aotrun

    folder = options.bundle / "models"
    path = str(folder / (options.model or next(each.name for each in sorted(folder.iterdir()))))
    print(f"{path}, {len(os.sched_getaffinity(0))} processors, load {os.getloadavg()[0]:.1f}")
    print("| callers | calls/s | with one thread a call |")
    print("|---|---|---|")
    for callers in CALLERS:
        figures = []
        for threads in (0, 1):
            model = aotrun.load(path, runners=callers, threads=threads)
            inputs = sample_inputs(model)
            model(*inputs)
            figures.append(calls_a_second(model, inputs, callers, options.seconds))
        print(f"| {callers} | {figures[0]:.1f} | {figures[1]:.1f} |")
    model = aotrun.load(path)
    inputs = sample_inputs(model)
    quiet = median_ms(model, inputs, options.seconds)
    others = [multiprocessing.Process(target=count_for_ever, daemon=True) for _ in os.sched_getaffinity(0)]
    for other in others:
        other.start()
    busy = median_ms(model, inputs, options.seconds)
    for other in others:
        other.kill()
    print(f"one caller: {quiet:.3f} ms a call, {busy:.3f} ms on a busy machine ({busy / quiet:.2f})")


if __name__ == "__main__":
    main()
