"""Larger models: the slim runtime beside the full one and ONNX Runtime; sizes; shared weights.

A part of `make bench`, and a program of its own: `python -m benchmarks.models` prints its tables.
"""

from __future__ import annotations

import json
import os
import re
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from aotpack.backend import Backend
from aotpack.environment.search import find_torch
from aotpack.environment.torch import TorchInfo
from benchmarks.measure import archive_size, median_ratio, size_of

ROOT = Path(__file__).resolve().parents[1]
PROGRAMS = Path(__file__).parent / "programs"
SOURCE = PROGRAMS / "models.py"
#: Processes that share one model.
PROCESSES = 10
#: The level at which archives are compared, as everywhere in these tables.
ZSTD_LEVEL = 9


@dataclass(frozen=True)
class Model:
    """A model to compare.

    Attributes:
        title: what the table calls it.
        shape: of its one input.
        words: how many different integers the input holds; 0: float32.
        limits: of the slim runtime's time a call, as a part of ONNX Runtime's, without and with AVX-512.
        calls: in each round.
    """

    title: str
    shape: tuple[int, ...]
    words: int
    limits: tuple[float, float]
    calls: int

    def example(self) -> np.ndarray:
        """An input."""
        draw = np.random.default_rng(0)
        if self.words:
            return draw.integers(0, self.words, self.shape)
        return draw.normal(size=self.shape).astype(np.float32)


MODELS = {
    "bert": Model("BERT, 6 layers x 768, 1x128", (1, 128), 30522, (0.80, 0.65), 10),
    "resnet50": Model("ResNet-50, 1x3x224x224", (1, 3, 224, 224), 0, (0.80, 0.90), 10),
}


def measure(torch: TorchInfo, packages: Path, work: Path, rounds: int) -> Iterator[str]:
    """Build everything below `work`, measure, and give the lines of the tables.

    Args:
        torch: whose Python exports for ONNX Runtime, and runs it.
        packages: the folder that ONNX Runtime is installed in.
        work: where packages and bundles are kept between runs.
        rounds: of all ways in turn.
    """
    slim = {name: _bundle(work, name, "slim", "--portable") for name in (*MODELS, "wide")}
    full = {name: _bundle(work, name, "full") for name in MODELS}
    claims: list[tuple[str, float, float, str]] = []
    is_wide = "avx512f" in Path("/proc/cpuinfo").read_text(encoding="utf-8")
    yield "| ms a call, 1 thread | slim | full | ONNX Runtime | slim of full | slim of ONNX Runtime |"
    yield "|---|---:|---:|---:|---:|---:|"
    for name, model in MODELS.items():
        times = _compare(torch, packages, work, name, {"slim": slim[name], "full": full[name]}, rounds)
        medians = " | ".join(f"{statistics.median(times[way]):.1f}" for way in ("slim", "full", "onnx"))
        of_full, of_onnx = median_ratio(times["slim"], times["full"]), median_ratio(times["slim"], times["onnx"])
        yield f"| {model.title} | {medians} | {of_full:.2f} | {of_onnx:.2f} |"
        claims.append((f"slim: {model.title}: per call, of ONNX Runtime", of_onnx, model.limits[is_wide], ""))
        claims.append((f"slim: {model.title}: per call, of the full runtime", of_full, 0.95, ""))
    for name, model in MODELS.items():
        without = [path for path in slim[name].rglob("*") if path.is_file() and path.name != "weights.blob"]
        claims.append((f"slim: {model.title}: on disk, beyond its weights", size_of(without) / 1e6, 18, " MB"))
        packed = archive_size(without, ZSTD_LEVEL) / 1e6
        claims.append((f"slim: {model.title}: tar.zst -{ZSTD_LEVEL} of the same", packed, 6, " MB"))
    weights = (slim["wide"] / "models" / "wide" / "weights.blob").stat().st_size / 1e6
    shares = _shares(slim["wide"], work)
    yield ""
    yield f"{PROCESSES} processes hold one model of {weights:.0f} MB of weights: their proportional set sizes (PSS) are"
    yield f"{min(shares):.1f} to {max(shares):.1f} MB, {sum(shares):.0f} MB together."
    claims.append((f"slim: memory of {PROCESSES} processes, of one model's weights", sum(shares) / weights, 1.5, ""))
    yield ""
    yield "| to reach | seen | limit | |"
    yield "|---|---|---|---|"
    for what, seen, limit, unit in claims:
        verdict = "reached" if seen <= limit else "**missed**"
        yield f"| {what} | {seen:.3g}{unit} | <= {limit:.3g}{unit} | {verdict} |"


def _bundle(work: Path, name: str, runtime: str, *options: str) -> Path:
    """A bundle of a model, its package kept between runs."""
    package, bundle = work / f"{name}.pt2", work / f"{name}-{runtime}"
    tool = [sys.executable, "-m", "aotpack"]
    if not package.exists():
        command = [*tool, "export", f"{SOURCE}:{name}", "--output", str(package), "--verify"]
        subprocess.run(command, check=True, cwd=ROOT, stdout=sys.stderr)
    command = [*tool, "build", "--model", f"{name}={package}", "--output", str(bundle), "--runtime", runtime, *options]
    subprocess.run(command, check=True, cwd=ROOT, stdout=sys.stderr)
    return bundle


def _compare(
    torch: TorchInfo, packages: Path, work: Path, name: str, bundles: Mapping[str, Path], rounds: int
) -> dict[str, list[float]]:
    """Milliseconds a call of each way, in rounds in which all run in turn. They must compute the same."""
    model = MODELS[name]
    given = work / f"{name}.npy"
    np.save(given, model.example())
    onnx = work / f"{name}.onnx"
    environment = {"PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    python = {**environment, "PYTHONPATH": str(packages)}
    if not onnx.exists():
        export = [str(torch.python), str(PROGRAMS / "export_onnx.py"), str(SOURCE), str(onnx), name]
        subprocess.run(export, check=True, env={**os.environ, "PYTHONPATH": str(packages)}, stdout=sys.stderr)
    expected = work / f"{name}-onnx.npy"
    run_onnx = [str(torch.python), str(PROGRAMS / "run_onnx_model.py"), str(onnx), str(given), str(expected)]
    times: dict[str, list[float]] = {way: [] for way in (*bundles, "onnx")}
    for _ in range(rounds):
        for way, bundle in bundles.items():
            command = [str(bundle / "bin" / "aotrun"), "bench", "--input", str(given), "--json", "--threads", "1"]
            command += ["--warmup", "2", "--iterations", str(model.calls)]
            answer = subprocess.run(command, check=True, env=environment, capture_output=True, text=True)
            times[way].append(json.loads(answer.stdout)["median_ms"])
        answer = subprocess.run([*run_onnx, str(model.calls)], check=True, env=python, capture_output=True, text=True)
        times["onnx"].append(float(answer.stdout))
    for bundle in bundles.values():
        result = work / f"{name}-result.npy"
        command = [str(bundle / "bin" / "aotrun"), "infer", "--input", str(given), "--output", str(result)]
        subprocess.run(command, check=True, env=environment, capture_output=True)
        np.testing.assert_allclose(np.load(result), np.load(expected), rtol=1e-3, atol=1e-3)
    return times


def _shares(bundle: Path, work: Path) -> list[float]:
    """MB of proportional set size of processes that hold the wide model at the same time."""
    program = work / "hold"
    flags = ["-O2", f"-I{bundle}/include", f"-L{bundle}/lib", f"-Wl,-rpath,{bundle}/lib", "-laot_bridge"]
    subprocess.run(["cc", str(PROGRAMS / "hold.c"), *flags, "-o", str(program)], check=True)  # noqa: S607
    command = [str(program), str(bundle / "models" / "wide"), "16", "4000"]
    children = [
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={"OMP_NUM_THREADS": "1"}, text=True
        )
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


def main() -> None:
    """Print the tables alone."""
    from benchmarks import run

    run.WORK.mkdir(parents=True, exist_ok=True)
    torch = find_torch(Backend.CPU, venv=ROOT / ".venv")
    for line in measure(torch, run.onnx_packages(torch), run.WORK, rounds=7):
        print(line, flush=True)


if __name__ == "__main__":
    main()
