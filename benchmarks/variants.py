"""Variants: what a bundle for every CPU costs beside one for a single kind, in time, bytes and memory.

A program of its own: `python -m benchmarks.variants` writes the section of this machine's kind of CPU in
RESULTS-variants.md. A machine with AVX-512 measures all kinds, by forcing variants and what the runtimes use.
`--large` makes a model of 5 GB once and says what was seen: it takes 25 GB of disk, 16 GB of memory and minutes.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from aotpack.elf.cpu_features import features_used
from benchmarks.measure import median_ratio, size_of
from benchmarks.models import PROCESSES, PROGRAMS, ROOT, SOURCE
from benchmarks.results import cpu_kind, processor, with_section
from benchmarks.run import WORK

PAGE = Path(__file__).with_name("RESULTS-variants.md")
#: Those of `aotpack export --cpu-isa` that run without bfloat16 and int8, the least demanding first.
ISAS = ("baseline", "avx2", "avx512")
#: What keeps the runtimes from using more than a kind of CPU has: the slim one, libtorch, and oneDNN and MKL inside it.
AS_ON: dict[str, dict[str, str]] = {
    "baseline": {
        "AOT_SLIM_ISA": "baseline",
        "ATEN_CPU_CAPABILITY": "default",
        "ONEDNN_MAX_CPU_ISA": "SSE41",
        "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
    },
    "avx2": {
        "AOT_SLIM_ISA": "avx2",
        "ATEN_CPU_CAPABILITY": "avx2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    },
    "avx512": {},
}
#: What is measured, and how many calls of it a round has.
MODELS = {"mlp": 2000, "bert": 5, "resnet50": 5}
#: Of a run.
PARTS = ("times", "sizes", "memory", "exports")
#: libtorch's own kernels without AVX2: a call of a large model takes minutes there, in a bundle for that kind alone as
#: well.
SLOW = ("full", "baseline")
#: Rounds in which all ways run in turn.
ROUNDS = 3


def _aotpack(*words: str) -> float:
    """Run the tool; seconds."""
    start = time.perf_counter()
    command = [sys.executable, "-m", "aotpack", *words]
    subprocess.run(command, check=True, cwd=ROOT, stdout=sys.stderr)
    return time.perf_counter() - start


def _source(name: str) -> str:
    return "examples/mlp.py:model" if name == "mlp" else f"{SOURCE}:{name}"


def _stem(name: str, isas: str) -> str:
    """Of files and folders: a comma would end an option of the linker."""
    return f"{name}-{isas.replace(',', '+')}"


def package_of(name: str, isas: str) -> Path:
    """A model's package for some instruction sets, kept between runs with the seconds that its export took."""
    package = WORK / f"{_stem(name, isas)}.pt2"
    if not package.exists():
        seconds = _aotpack("export", _source(name), "--output", str(package), "--cpu-isa", isas)
        package.with_suffix(".seconds").write_text(str(seconds))
    return package


def bundle_of(name: str, isas: str, runtime: str) -> Path:
    """Its bundle."""
    bundle = WORK / f"{_stem(name, isas)}-{runtime}"
    model = f"{name}={package_of(name, isas)}"
    _aotpack("build", "--model", model, "--output", str(bundle), "--runtime", runtime, "--portable")
    return bundle


def runnable() -> list[str]:
    """The instruction sets that this machine has, as the bridge sees them."""
    document = json.loads(
        subprocess.run(
            [bundle_of("mlp", ",".join(ISAS), "slim") / "bin" / "aotrun", "info", "--json"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    )
    return [each["name"] for each in document["variants"]["mlp"]["variants"] if each["obstacle"] is None]


def bench(bundle: Path, calls: int, variables: Mapping[str, str]) -> dict[str, Any]:
    """`aotrun bench` in a process of its own."""
    environment = {"PATH": os.environ["PATH"], **variables}
    command = [bundle / "bin" / "aotrun", "bench", "--json", "--threads", "1"]
    command += ["--warmup", "2", "--iterations", str(calls)]
    done = subprocess.run(command, check=True, env=environment, capture_output=True, text=True)
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def times(name: str, runtime: str, isas: Sequence[str]) -> Iterator[str]:
    """A row for each kind: all variants in one bundle beside a bundle for that kind alone, in turn."""
    together = bundle_of(name, ",".join(ISAS), runtime)
    for isa in isas:
        if (runtime, isa) == SLOW and name != "mlp":
            continue
        alone = bundle_of(name, isa, runtime)
        calls, kind = MODELS[name], AS_ON[isa]
        forced = {**kind, "AOT_VARIANT": isa}
        rounds = [(bench(together, calls, forced), bench(alone, calls, kind)) for _ in range(ROUNDS)]
        ours, theirs = zip(*rounds, strict=True)
        taken = [[each["median_ms"] for each in side] for side in (ours, theirs)]
        loads = [[each["load_ms"] for each in side] for side in (ours, theirs)]
        added = statistics.median(one - other for one, other in zip(*loads, strict=True))
        ratio = median_ratio(*taken)
        verdict = "reached" if ratio <= 1.05 and added <= 1 else "**missed**"
        middle = " | ".join(f"{statistics.median(side) * 1e3:.1f}" for side in taken)
        yield f"| {name} | {runtime} | {isa} | {middle} | {ratio:.2f} | {added:+.2f} | {verdict} |"


def sizes(name: str) -> Iterator[str]:
    """What all variants add to the weights."""
    for runtime in ("slim",):
        folder = bundle_of(name, ",".join(ISAS), runtime) / "models" / name
        weights = (folder / "weights.blob").stat().st_size
        alone = bundle_of(name, "avx2", runtime) / "models" / name
        ratio = size_of([folder]) / weights
        verdict = "reached" if ratio <= 1.05 else "**missed**"
        yield (
            f"| {name} | {weights / 1e6:.1f} | {size_of([alone]) / 1e6:.1f} | {size_of([folder]) / 1e6:.1f} "
            f"| {ratio:.3f} | {verdict if weights > 1e8 else ''} |"
        )


def features(name: str) -> Iterator[str]:
    """What each variant's code uses."""
    folder = bundle_of(name, ",".join(ISAS), "slim") / "models" / name
    for isa in ISAS:
        library = folder / ("model.so" if isa == ISAS[0] else f"model.{isa}.so")
        with library.open("rb") as file:
            used = sorted(features_used(file) or ())
        yield f"| {name} | {isa} | {library.stat().st_size / 1e3:.0f} | {', '.join(used)} |"


def memory(runtime: str, isas: Sequence[str]) -> Iterator[str]:
    """Proportional set sizes of processes that hold one model, by variant."""
    bundle = bundle_of("wide", ",".join(ISAS), runtime)
    weights = (bundle / "models" / "wide" / "weights.blob").stat().st_size / 1e6
    program = WORK / f"hold-{runtime}"
    flags = ["-O2", f"-I{bundle}/include", f"-L{bundle}/lib", f"-Wl,-rpath,{bundle}/lib:{bundle}/lib/gcc"]
    command = ["cc", str(PROGRAMS / "hold.c"), *flags, "-laot_bridge", "-o", str(program)]
    subprocess.run(command, check=True)
    for isa in isas:
        if (runtime, isa) == SLOW:
            continue
        shares = _shares([str(program), str(bundle / "models" / "wide"), "16", "4000"], isa)
        ratio = sum(shares) / weights
        verdict = "reached" if ratio <= 1.2 else "**missed**"
        yield f"| {runtime} | {isa} | {weights:.0f} | {max(shares):.1f} | {sum(shares):.0f} | {ratio:.2f} | {verdict} |"


def _shares(command: Sequence[str], variant: str) -> list[float]:
    """MB of each process."""
    environment = {"OMP_NUM_THREADS": "1", "AOT_VARIANT": variant, **AS_ON[variant]}
    children = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True)
        for _ in range(PROCESSES)
    ]
    try:
        if any(child.stdout is None or child.stdout.readline() != "ready\n" for child in children):
            raise RuntimeError(f"a process did not load the model: {' '.join(command)}")
        rollups = [Path(f"/proc/{child.pid}/smaps_rollup").read_text(encoding="utf-8") for child in children]
    finally:
        for child in children:
            child.communicate()
    found = (re.search(r"^Pss:\s+(\d+) kB", rollup, re.MULTILINE) for rollup in rollups)
    return [int(match[1]) * 1024 / 1e6 for match in found if match]


def exports(names: Sequence[str]) -> Iterator[str]:
    """What a portable export takes, beside one for a single kind, both anew."""
    for name in names:
        seconds = []
        for isas in ("avx2", ",".join(ISAS), "portable"):
            package_of(name, isas).unlink()
            seconds.append(float(package_of(name, isas).with_suffix(".seconds").read_text()))
        ratio = seconds[2] / seconds[0]
        verdict = "reached" if ratio <= 1.6 else "**missed**"
        yield f"| {name} | {seconds[0]:.1f} | {seconds[1]:.1f} | {seconds[2]:.1f} | {ratio:.2f} | {verdict} |"


def _with_memory(*words: str) -> str:
    """Run the tool; seconds and the most memory of one of its processes, as a row's cells."""
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "aotpack", *words], cwd=ROOT, stdout=sys.stderr)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, process.args)
    return f"{time.perf_counter() - start:.0f} s | {used.ru_maxrss * 1024 / 1e9:.1f} GB"


def large() -> Iterator[str]:
    """A model of 5 GB, from export to a run. Removed at the end."""
    folder = WORK / "large"
    folder.mkdir(exist_ok=True)
    package, bundle = folder / "large.pt2", folder / "bundle"
    yield from ("| step | time | memory at most |", "|---|---:|---:|")
    try:
        yield f"| export, avx2 | {_with_memory('export', _source('large'), '-o', str(package), '--cpu-isa', 'avx2')} |"
        build = ("build", "--model", f"large={package}", "-o", str(bundle), "--portable")
        yield f"| build | {_with_memory(*build)} |"
        weights = bundle / "models" / "large" / "weights.blob"
        subprocess.run(["cat", str(weights)], check=True, stdout=subprocess.DEVNULL)  # noqa: S607
        seen = [bench(bundle, 2, {}) for _ in range(3)]
        yield f"| load, its pages in the cache | {min(each['load_ms'] for each in seen):.1f} ms | |"
        yield f"| a call of 16 rows | {min(each['median_ms'] for each in seen):.0f} ms | |"
        yield f"| verify | {_with_memory('verify', str(bundle))} |"
        yield from ("", f"Its weights: {weights.stat().st_size / 1e9:.2f} GB. To reach: a load of at most 50 ms.")
    finally:
        shutil.rmtree(folder)


def lines(names: Sequence[str], parts: Sequence[str]) -> Iterator[str]:
    """The tables."""
    isas = runnable()
    if "times" in parts:
        yield "| model | runtime | kind | with all variants, us a call | for that kind alone | ratio | start, ms | |"
        yield "|---|---|---|---:|---:|---:|---:|---|"
        for name in names:
            for runtime in ("slim", "full"):
                yield from times(name, runtime, isas)
    if "sizes" in parts:
        yield from ("", "| model | weights, MB | model folder for avx2, MB | with all variants, MB | of weights | |")
        yield "|---|---:|---:|---:|---:|---|"
        for name in names:
            yield from sizes(name)
        yield from ("", "| model | variant | code, kB | uses |", "|---|---|---:|---|")
        for name in names:
            yield from features(name)
    if "memory" in parts:
        yield from ("", f"| runtime | variant | weights, MB | PSS of each of {PROCESSES} | together | of weights | |")
        yield "|---|---|---:|---:|---:|---:|---|"
        for runtime in ("slim", "full"):
            yield from memory(runtime, isas)
    if "exports" in parts:
        yield from ("", "| export | avx2, s | all three, s | portable, s | ratio | |", "|---|---:|---:|---:|---:|---|")
        yield from exports([name for name in names if name != "resnet50"])


def main() -> None:
    """Measure, and write this kind's section."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--large", action="store_true", help="the model of 5 GB alone")
    parser.add_argument("--models", default=",".join(MODELS), help="some of these, with commas between")
    parser.add_argument("--parts", default=",".join(PARTS), help="some of these; only with all is the page written")
    wanted = parser.parse_args()
    WORK.mkdir(parents=True, exist_ok=True)
    cpuinfo = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    today = datetime.datetime.now(tz=datetime.timezone.utc).date().isoformat()
    section = [f"{processor(cpuinfo)}, {os.cpu_count()} cores; {today}.", ""]
    for line in large() if wanted.large else lines(wanted.models.split(","), wanted.parts.split(",")):
        print(line, flush=True)
        section.append(line)
    if not wanted.large and wanted.parts != ",".join(PARTS):
        return
    title = "A model of 5 GB" if wanted.large else cpu_kind(cpuinfo)
    PAGE.write_text(with_section(PAGE.read_text(encoding="utf-8"), title, section), encoding="utf-8")


if __name__ == "__main__":
    main()
