"""The doctor: what its default look costs, and how fast a large bundle is looked at, beside what merely reads it.

`python -m benchmarks.doctor BUNDLE` measures with any portable bundle and prints the table. It needs 4 GB of disk.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from aotpack.bundle import manifest
from aotpack.bundle.manifest import FileRecord
from aotpack.bundle.writing import digests
from aotpack_doctor.base.places import DESCRIPTION

#: Of the large bundle, bytes.
LARGE = 4_000_000_000
_FILLING = "models/filling/weights.blob"
_DOCTOR = "`bin/aotrun doctor`"
#: What two runs of the same differ by: more than that beside `cat` (from disk), or of CPU beside OpenSSL (from memory),
#: is the doctor's doing.
_NOISE = 1.1


@dataclass(frozen=True)
class Row:
    """One way to look: seconds on the clock and of the CPU, and what one of them is to reach."""

    what: str
    seconds: float
    cpu: float
    limit: float | None = None
    of_cpu: bool = False

    @property
    def line(self) -> str:
        """A row of the table."""
        limit = verdict = ""
        if self.limit is not None:
            limit = f"<= {self.limit:.3g}{' of CPU' if self.of_cpu else ''}"
            verdict = "reached" if (self.cpu if self.of_cpu else self.seconds) <= self.limit else "**missed**"
        return f"| {self.what} | {self.seconds:.2f} | {self.cpu:.2f} | {limit} | {verdict} |"


def measure(bundle: Path, work: Path, rounds: int = 5) -> Iterator[Row]:
    """Look at this machine and at a bundle of 4,000 MB made of `bundle` and a large file, in `work`."""
    aotpack = (sys.executable, "-m", "aotpack")
    yield Row("`aotpack doctor`", *_best(_run([*aotpack, "doctor"]) for _ in range(rounds)), 1, of_cpu=True)
    large = work / "large"
    try:
        _enlarge(bundle, large)
        quick = {
            "`aotpack doctor --bundle --quick`": (*aotpack, "doctor", "--bundle", str(large), "--quick"),
            "`bin/aotrun doctor --quick`": (str(large / "bin/aotrun"), "doctor", "--quick"),
        }
        for name, command in quick.items():
            yield Row(f"{name}, 4,000 MB", *_best(_run(command) for _ in range(rounds)), 1)
        files = [str(path) for path in sorted(large.rglob("*")) if path.is_file() and not path.is_symlink()]
        ways: dict[str, Sequence[str]] = {
            "`cat`, which only reads": ("cat", *files),
            "`openssl dgst -sha256`": ("openssl", "dgst", "-sha256", *files),
            "`aotpack verify`": (*aotpack, "verify", str(large)),
            _DOCTOR: (str(large / "bin/aotrun"), "doctor", "-q"),
        }
        for state, prepare in (("from disk", _forget), ("from memory", lambda: None)):
            if state == "from disk" and os.geteuid() != 0:
                continue
            seen: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
            for _ in range(min(rounds, 2)):
                for name, command in ways.items():
                    prepare()
                    seen[name].append(_run(command))
            reading = _best(seen["`cat`, which only reads"])[0]
            hashing = _best(seen["`openssl dgst -sha256`"])[1]
            for name, runs in seen.items():
                limit, of_cpu = (reading, False) if state == "from disk" else (hashing, True)
                ours = name == _DOCTOR
                yield Row(f"{name}, 4,000 MB {state}", *_best(runs), limit * _NOISE if ours else None, of_cpu=of_cpu)
    finally:
        shutil.rmtree(large, ignore_errors=True)


def table(rows: Sequence[Row]) -> Iterator[str]:
    """The lines of RESULTS.md."""
    yield "| the doctor | seconds | of CPU | limit | |"
    yield "|---|---:|---:|---:|---|"
    yield from (row.line for row in rows)


def _best(runs: Iterable[tuple[float, float]]) -> tuple[float, float]:
    """The least of each."""
    seconds, cpu = zip(*runs, strict=True)
    return min(seconds), min(cpu)


def _run(command: Sequence[str]) -> tuple[float, float]:
    """Seconds of a command, on the clock and of CPU, its children's included."""
    start, before = time.perf_counter(), os.times()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    seconds, after = time.perf_counter() - start, os.times()
    return seconds, after.children_user + after.children_system - before.children_user - before.children_system


def _enlarge(bundle: Path, large: Path) -> None:
    """A copy of a bundle with a large file in it, sealed anew."""
    shutil.rmtree(large, ignore_errors=True)
    shutil.copytree(bundle, large, symlinks=True)
    document = manifest.decode((bundle / DESCRIPTION).read_bytes(), DESCRIPTION)
    left = LARGE - sum(record.size or 0 for record in document.files)
    filling = large / _FILLING
    filling.parent.mkdir()
    block = os.urandom(16_000_000)
    with filling.open("wb") as stream:
        for start in range(0, left, len(block)):
            stream.write(block[: left - start])
        os.fsync(stream.fileno())
    size = filling.stat().st_size
    digest, pieces = digests(filling, size)
    record = FileRecord(path=_FILLING, part="model", reason="weights", size=size, sha256=digest, pieces=pieces)
    sealed = manifest.encode(msgspec.structs.replace(document, files=(*document.files, record)))
    (large / DESCRIPTION).write_bytes(sealed)


def _forget() -> None:
    """Let the kernel drop what it has read; needs root."""
    os.sync()
    Path("/proc/sys/vm/drop_caches").write_text("3")


if __name__ == "__main__":
    chosen = Path(sys.argv[1])
    print("\n".join(table(list(measure(chosen, chosen.parent)))))
