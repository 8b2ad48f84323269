"""One way to measure all contenders: a program that prints a line at its first output, then its time per call."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Contender:
    """A way to run the model. Its program prints one line when the first output is there, then microseconds a call."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    #: What it puts on disk to run: files and folders.
    on_disk: tuple[Path, ...]


@dataclass(frozen=True)
class Sample:
    """One run."""

    #: From spawn to the first output, milliseconds.
    first_ms: float
    #: Median of a call, microseconds.
    call_us: float
    peak_rss_mb: float
    output: float


def run_once(contender: Contender) -> Sample:
    """Run a contender's program once."""
    start = time.perf_counter()
    with subprocess.Popen(
        contender.command, stdout=subprocess.PIPE, env=dict(contender.environment), text=True
    ) as child:
        assert child.stdout is not None
        first = child.stdout.readline()
        first_ms = (time.perf_counter() - start) * 1e3
        rest = child.stdout.read()
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise RuntimeError(f"{contender.name}: exit code {child.returncode}: {' '.join(contender.command)}")
    return Sample(first_ms, float(rest), usage.ru_maxrss / 1e3, float(first))


def run_in_turn(contenders: Sequence[Contender], rounds: int) -> dict[str, list[Sample]]:
    """All contenders in turn, `rounds` times after a warm-up, so that a slow moment of the machine hits them alike."""
    samples: dict[str, list[Sample]] = {contender.name: [] for contender in contenders}
    for round_number in range(rounds + 1):
        for contender in contenders:
            sample = run_once(contender)
            if round_number:
                samples[contender.name].append(sample)
    return samples


def median(samples: Sequence[Sample], field: str) -> float:
    """Median of a field."""
    return statistics.median(getattr(sample, field) for sample in samples)


def median_ratio(measured: Sequence[float], to: Sequence[float]) -> float:
    """Median over the rounds of the ratio to what another contender took in the same round."""
    return statistics.median(one / other for one, other in zip(measured, to, strict=True))


def size_of(paths: Sequence[Path]) -> int:
    """Bytes of files and folders; links count as what they point to, once."""
    seen: set[tuple[int, int]] = set()
    total = 0
    for top in paths:
        for path in [top] if top.is_file() else top.rglob("*"):
            if path.is_file():
                status = path.stat()
                if (status.st_dev, status.st_ino) not in seen:
                    seen.add((status.st_dev, status.st_ino))
                    total += status.st_size
    return total


def archive_size(paths: Sequence[Path], level: int = 19) -> int:
    """Bytes of a tar.zst of the paths."""
    zstd = shutil.which("zstd")
    if zstd is None:
        raise RuntimeError("zstd is not installed: apt install zstd")
    tar = subprocess.Popen(["tar", "-ch", *map(str, paths)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)  # noqa: S607
    done = subprocess.run([zstd, f"-{level}", "-T0", "-c"], stdin=tar.stdout, capture_output=True, check=True)
    tar.wait()
    return len(done.stdout)
