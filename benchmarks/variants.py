"""Variants: what a bundle for every CPU costs beside one for a single kind, in time, bytes and memory.

A program of its own: `python -m benchmarks.variants` writes the section of this machine's kind of CPU in
RESULTS-variants.md. A machine with AVX-512 measures all kinds, by forcing variants and what the runtimes use. Where
others work too, make everything with `--prepare`, then measure some `--models` and `--parts` at a time while it is
quiet; the page tells what was measured so far.
`--large` makes a model of 5 GB once and says what was seen: it takes 25 GB of disk, 16 GB of memory and minutes.
"""

from __future__ import annotations

import argparse
import datetime
import itertools
import json
import os
import re
import resource
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aotpack.elf.cpu_features import features_used
from benchmarks.measure import median_ratio, size_of
from benchmarks.models import PROCESSES, PROGRAMS, ROOT, SOURCE
from benchmarks.results import cpu_kind, processor, with_section
from benchmarks.run import WORK

PAGE = Path(__file__).with_name("RESULTS-variants.md")
#: Those of `aotpack export --cpu-isa` that float32 uses, the least demanding first.
ISAS = ("baseline", "avx2", "avx512")
#: And those of bfloat16.
LOW_ISAS = (*ISAS, "amx")
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
    "avx512": {"AOT_SLIM_ISA": "avx512", "ONEDNN_MAX_CPU_ISA": "AVX512_CORE_BF16"},
    "amx": {},
}
#: What is measured, and how many calls of it a round has.
MODELS = {"mlp": 2000, "mlp_bfloat16": 2000, "bert": 5, "bert_bfloat16": 5, "resnet50": 5}
#: Models of many weights: of linear layers, the same in fewer bits, and of convolutions, 1 x 1 and 3 x 3.
HEAVY = {"wide": 4000, "wide_bfloat16": 4000, "wide_int8": 4000, "filters": 1024}
#: What is exported anew for its time.
EXPORTED = ("mlp", "bert")
#: Rounds in which all ways run in turn.
ROUNDS = 3
#: Rows of tables that were measured, by part and model.
MEASURED = WORK / "variants.json"


def isas_of(name: str) -> tuple[str, ...]:
    """The instruction sets that a model is compiled for."""
    return LOW_ISAS if name.endswith(("bfloat16", "int8")) else ISAS


def all_of(name: str) -> str:
    """The same for `--cpu-isa`."""
    return ",".join(isas_of(name))


def is_slow(name: str, runtime: str, isa: str) -> bool:
    """Whether libtorch takes minutes for a call, in a bundle for that kind alone as well: without AVX2, but for the
    MLP; of int8, whose weights AVX-512's oneDNN has packed, without that; or cannot make it: in bfloat16, without
    AVX-512."""
    return runtime == "full" and (
        (isa == "baseline" and name != "mlp") or (name.endswith(("bfloat16", "int8")) and isa in ("baseline", "avx2"))
    )


def _aotpack(*words: str, **variables: str) -> float:
    """Run the tool; seconds."""
    start = time.perf_counter()
    command = [sys.executable, "-m", "aotpack", *words]
    subprocess.run(command, check=True, cwd=ROOT, stdout=sys.stderr, env={**os.environ, **variables})
    return time.perf_counter() - start


def _source(name: str) -> str:
    return "examples/mlp.py:model" if name == "mlp" else f"{SOURCE}:{name}"


def _processor() -> float:
    """Seconds of it that processes took which this one has waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _stem(name: str, isas: str) -> str:
    """Of files and folders: a comma would end an option of the linker."""
    return f"{name}-{isas.replace(',', '+')}"


def package_of(name: str, isas: str, exported_on: str = "") -> Path:
    """A model's package for some instruction sets, kept between runs with the seconds that its export took.

    Args:
        exported_on: a kind of CPU, which packs weights for itself; this machine's own by default.
    """
    package = WORK / f"{_stem(name, isas)}{exported_on and '-on-'}{exported_on}.pt2"
    if not package.exists():
        before = _processor()
        words = ("export", _source(name), "--output", str(package), "--cpu-isa", isas)
        seconds = _aotpack(*words, **AS_ON.get(exported_on, {}))
        package.with_suffix(".seconds").write_text(f"{seconds} {_processor() - before}")
    return package


def bundle_of(name: str, isas: str, runtime: str, exported_on: str = "") -> Path:
    """Its bundle."""
    package = package_of(name, isas, exported_on)
    bundle = WORK / f"{package.stem}-{runtime}"
    model = f"{name}={package}"
    _aotpack("build", "--model", model, "--output", str(bundle), "--runtime", runtime, "--portable")
    return bundle


def ways(name: str, runtime: str, isa: str) -> Iterator[tuple[str, dict[str, str]]]:
    """How a bundle with all variants is run as on a kind of CPU: as it is, and with the weights that `aotrun prepare`
    wrote for the kind, where it has any to write. A name and the environment of each."""
    kind = {"PATH": os.environ["PATH"], "AOT_VARIANT": isa, **AS_ON[isa]}
    yield runtime, kind
    bundle = bundle_of(name, all_of(name), runtime)
    folder = WORK / f"prepared-{name}-{runtime}-{isa}"
    command = [bundle / "bin" / "aotrun", "prepare", "--threads", "1", "--output", folder, "--json"]
    done = subprocess.run(command, check=True, env=kind, capture_output=True, text=True)
    if any(model["file"] for model in json.loads(done.stdout)["models"]):
        yield f"{runtime}, prepared", {**kind, "AOT_PREPARED": str(folder)}


def runnable() -> list[str]:
    """The instruction sets that this machine has, as the bridge sees them."""
    document = json.loads(
        subprocess.run(
            [bundle_of("mlp_bfloat16", all_of("mlp_bfloat16"), "slim") / "bin" / "aotrun", "info", "--json"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    )
    return [each["name"] for each in document["variants"]["mlp_bfloat16"]["variants"] if each["obstacle"] is None]


def bench(bundle: Path, calls: int, variables: Mapping[str, str]) -> dict[str, Any]:
    """`aotrun bench` in a process of its own."""
    command = [bundle / "bin" / "aotrun", "bench", "--json", "--threads", "1"]
    command += ["--warmup", "2", "--iterations", str(calls)]
    environment = {"PATH": os.environ["PATH"], **variables}
    done = subprocess.run(command, check=True, env=environment, capture_output=True, text=True)
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def times(name: str, runnable: Sequence[str]) -> Iterator[str]:
    """A row for each kind: all variants in one bundle beside a bundle for that kind alone, in turn."""
    for runtime, isa in itertools.product(("slim", "full"), isas_of(name)):
        if isa not in runnable or is_slow(name, runtime, isa):
            continue
        together, alone = bundle_of(name, all_of(name), runtime), bundle_of(name, isa, runtime, isa)
        calls, kind = MODELS[name], AS_ON[isa]
        for way, forced in ways(name, runtime, isa):
            rounds = [(bench(together, calls, forced), bench(alone, calls, kind)) for _ in range(ROUNDS)]
            ours, theirs = zip(*rounds, strict=True)
            taken = [[each["median_ms"] for each in side] for side in (ours, theirs)]
            loads = [[each["load_ms"] for each in side] for side in (ours, theirs)]
            added = statistics.median(one - other for one, other in zip(*loads, strict=True))
            ratio = median_ratio(*taken)
            verdict = "reached" if ratio <= 1.05 and added <= 1 else "**missed**"
            middle = " | ".join(f"{statistics.median(side) * 1e3:.1f}" for side in taken)
            yield f"| {name} | {way} | {isa} | {middle} | {ratio:.2f} | {added:+.2f} | {verdict} |"


def sizes(name: str, _runnable: Sequence[str]) -> Iterator[str]:
    """What all variants add to the weights."""
    folder = bundle_of(name, all_of(name), "slim") / "models" / name
    weights = (folder / "weights.blob").stat().st_size
    alone = bundle_of(name, "avx2", "slim", "avx2") / "models" / name
    ratio = size_of([folder]) / weights
    verdict = "reached" if ratio <= 1.05 else "**missed**"
    yield (
        f"| {name} | {weights / 1e6:.1f} | {size_of([alone]) / 1e6:.1f} | {size_of([folder]) / 1e6:.1f} "
        f"| {ratio:.3f} | {verdict if weights > 1e8 else ''} |"
    )


def features(name: str, _runnable: Sequence[str]) -> Iterator[str]:
    """What each variant's code uses."""
    folder = bundle_of(name, all_of(name), "slim") / "models" / name
    for isa in isas_of(name):
        library = folder / ("model.so" if isa == ISAS[0] else f"model.{isa}.so")
        with library.open("rb") as file:
            used = sorted(features_used(file) or ())
        yield f"| {name} | {isa} | {library.stat().st_size / 1e3:.0f} | {', '.join(used)} |"


def memory(name: str, runnable: Sequence[str]) -> Iterator[str]:
    """Proportional set sizes of processes that hold one model, by variant."""
    for runtime in ("slim", "full"):
        bundle = bundle_of(name, all_of(name), runtime)
        weights = (bundle / "models" / name / "weights.blob").stat().st_size / 1e6
        program = WORK / f"hold-{runtime}"
        flags = ["-O2", f"-I{bundle}/include", f"-L{bundle}/lib", f"-Wl,-rpath,{bundle}/lib:{bundle}/lib/gcc"]
        command = ["cc", str(PROGRAMS / "hold.c"), *flags, "-laot_bridge", "-o", str(program)]
        subprocess.run(command, check=True)
        for isa in isas_of(name):
            if isa not in runnable or is_slow(name, runtime, isa):
                continue
            for way, forced in ways(name, runtime, isa):
                shares = _shares([str(program), str(bundle / "models" / name), "16", str(HEAVY[name])], forced)
                ratio = sum(shares) / weights
                verdict = "reached" if ratio <= 1.2 else "**missed**"
                middle = f"{weights:.0f} | {max(shares):.1f} | {sum(shares):.0f} | {ratio:.2f}"
                yield f"| {name} | {way} | {isa} | {middle} | {verdict} |"


def _shares(command: Sequence[str], variables: Mapping[str, str]) -> list[float]:
    """MB of each process."""
    environment = {"OMP_NUM_THREADS": "1", **variables}
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


def exports(name: str, _runnable: Sequence[str]) -> Iterator[str]:
    """What a portable export takes, beside one for a single kind, both anew."""
    found: list[list[float]] = []
    for isas in ("avx2", all_of(name), "portable"):
        (WORK / f"{_stem(name, isas)}.pt2").unlink(missing_ok=True)
        found.append([float(word) for word in package_of(name, isas).with_suffix(".seconds").read_text().split()])
    clock, processor_time = zip(*found, strict=True)
    ratios = [seconds[2] / seconds[0] for seconds in (clock, processor_time)]
    verdict = "reached" if ratios[0] <= 1.6 else "**missed**"
    middle = " | ".join(f"{seconds:.1f}" for seconds in (*clock, processor_time[0], processor_time[2]))
    yield f"| {name} | {middle} | {ratios[0]:.2f} | {ratios[1]:.2f} | {verdict} |"


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


@dataclass(frozen=True)
class Table:
    """A part of the page: its head, of which models, and the rows of one."""

    head: tuple[str, str]
    models: Sequence[str]
    rows: Callable[[str, Sequence[str]], Iterator[str]]


TABLES: Mapping[str, Table] = {
    "times": Table(
        (
            "| model | runtime | kind | with all variants, us a call | for that kind alone | ratio | start, ms | |",
            "|---|---|---|---:|---:|---:|---:|---|",
        ),
        tuple(MODELS),
        times,
    ),
    "sizes": Table(
        (
            "| model | weights, MB | model folder for avx2, MB | with all variants, MB | of weights | |",
            "|---|---:|---:|---:|---:|---|",
        ),
        tuple(MODELS),
        sizes,
    ),
    "features": Table(
        ("| model | variant | code, kB | uses |", "|---|---|---:|---|"),
        tuple(MODELS),
        features,
    ),
    "memory": Table(
        (
            f"| model | runtime | variant | weights, MB | PSS of each of {PROCESSES} | together | of weights | |",
            "|---|---|---|---:|---:|---:|---:|---|",
        ),
        tuple(HEAVY),
        memory,
    ),
    "exports": Table(
        (
            "| export | avx2, s | all, s | portable, s | processor: avx2, s | portable, s | ratio | of processor | |",
            "|---|---:|---:|---:|---:|---:|---:|---:|---|",
        ),
        EXPORTED,
        exports,
    ),
}


def prepare(names: Sequence[str]) -> None:
    """Make the packages and bundles of some models."""
    for name in names:
        for runtime in ("slim", "full"):
            bundle_of(name, all_of(name), runtime)
            for isa in isas_of(name) if name in MODELS else ():
                if not is_slow(name, runtime, isa):
                    bundle_of(name, isa, runtime, isa)
        if name in EXPORTED:
            package_of(name, "portable")


def measured(names: Sequence[str], parts: Sequence[str]) -> dict[str, dict[str, list[str]]]:
    """Measure some, print it, and return all that has been."""
    known: dict[str, dict[str, list[str]]] = json.loads(MEASURED.read_text()) if MEASURED.exists() else {}
    isas = runnable()
    for part in parts:
        table = TABLES[part]
        print("\n".join(table.head))
        for name in table.models:
            if name in names:
                known.setdefault(part, {})[name] = []
                for row in table.rows(name, isas):
                    print(row, flush=True)
                    known[part][name].append(row)
                MEASURED.write_text(json.dumps(known, indent=1))
    return known


def main() -> None:
    """Measure, and write this kind's section."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--large", action="store_true", help="the model of 5 GB alone")
    parser.add_argument("--prepare", action="store_true", help="make what is measured, and measure nothing")
    parser.add_argument("--models", default=",".join((*MODELS, *HEAVY)), help="some of these, with commas between")
    parser.add_argument("--parts", default=",".join(TABLES), help="some of these")
    wanted = parser.parse_args()
    WORK.mkdir(parents=True, exist_ok=True)
    names = wanted.models.split(",")
    if wanted.prepare:
        prepare(names)
        return
    cpuinfo = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    today = datetime.datetime.now(tz=datetime.timezone.utc).date().isoformat()
    section = [f"{processor(cpuinfo)}, {os.cpu_count()} cores; {today}."]
    title = cpu_kind(cpuinfo)
    if wanted.large:
        title = "A model of 5 GB"
        section.append("")
        for line in large():
            print(line, flush=True)
            section.append(line)
    else:
        known = measured(names, wanted.parts.split(","))
        for part, table in TABLES.items():
            rows = [row for name in table.models for row in known.get(part, {}).get(name, ())]
            section += ["", *table.head, *rows] if rows else []
    PAGE.write_text(with_section(PAGE.read_text(encoding="utf-8"), title, section), encoding="utf-8")


if __name__ == "__main__":
    main()
