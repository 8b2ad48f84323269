"""Products and convolutions by themselves: the slim runtime's kernels, oneDNN and MKL, by shape and kind of processor.

`python -m benchmarks.kernels` writes this processor's sections of RESULTS-kernels.md and leaves those of others alone;
`python -m benchmarks.kernels amx` that of one kind.
"""

from __future__ import annotations

import datetime
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from aotpack import resources
from aotpack.backend import Backend
from aotpack.environment.search import find_torch
from aotpack.tools.cmake import build_targets
from aotpack.tools.compilers import find_compiler
from benchmarks.onednn import find_onednn
from benchmarks.results import processor, with_section

HERE = Path(__file__).parent
RESULTS = HERE / "RESULTS-kernels.md"
ROUNDS = 7
#: The kinds of processor, and what makes oneDNN and MKL take no more than that.
KINDS = {
    "amx": {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_AMX", "MKL_ENABLE_INSTRUCTIONS": "AVX512"},
    "avx512": {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE", "MKL_ENABLE_INSTRUCTIONS": "AVX512"},
    "avx2": {"ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"},
    "baseline": {"ONEDNN_MAX_CPU_ISA": "SSE41", "MKL_ENABLE_INSTRUCTIONS": "SSE4_2"},
}
#: Of the peak, and of the other libraries' time.
LEAST_OF_PEAK, MOST_OF_TIME = 0.85, 1.03
#: Of the speed at which weights are read, where one row is multiplied.
LEAST_OF_READING = 0.8
#: The shapes that the goals are set for.
GOALS = ("128 x 768 x 768", "128 x 768 x 3072", "128 x 3072 x 768", "1 x 768 x 3072")


def decoding(lines: list[str]) -> Iterator[str]:
    """The table of how near one row's products come to the speed of only reading the weights, from that program's
    output."""
    yield "| one row, weights | threads | GB/s | of the speed of reading them | |"
    yield "|---|---|---|---|---|"
    for line in lines[:-1]:
        threads, depth, columns, kind, gigabytes, part = line.split()
        verdict = "reached" if float(part) >= LEAST_OF_READING else "**missed**"
        yield f"| 1 x {depth} x {columns}, {kind} | {threads} | {gigabytes} | {part} | {verdict} |"
    yield ""


def program(folder: Path, source: str) -> Path:
    """Compile a program that measures, in a folder of its own."""
    onednn = find_onednn()
    definitions = {
        "AOT_PROGRAM": str(HERE / "programs" / source),
        "CMAKE_CXX_FLAGS": f"-isystem {onednn.include}",
        "CMAKE_CXX_STANDARD_LIBRARIES": f"{onednn.library} -lgomp -ldl -Wl,-rpath,{onednn.library.parent}",
    }
    build_targets(
        resources.BRIDGE / "slim" / "kernels" / "matrix", folder, find_compiler("c++"), definitions, ["matrix_program"]
    )
    return folder / "matrix_program"


def section(lines: list[str]) -> Iterator[str]:
    """The table of one kind of processor, from the program's output."""
    peak = float(lines[-1].split()[2])
    rows: dict[str, dict[str, tuple[float, float]]] = {}
    for line in lines[:-1]:
        *sizes, way, gflops, part = line.split()
        rows.setdefault(" x ".join(sizes), {})[way] = (float(gflops), float(part))
    today = datetime.datetime.now(datetime.timezone.utc).date().isoformat()
    yield from (f"{today}, peak {peak:.0f} GFLOP/s.", "")
    columns = ["rows x depth x columns", "slim", "of the peak", "oneDNN 3.2", "slim's time / its", "MKL"]
    columns += ["slim's time / its", "bfloat16, times as fast", "int8, times as fast", "bfloat16, of oneDNN's time", ""]
    yield f"| {' | '.join(columns)} |"
    yield "|---" * len(columns) + "|"
    notes = []
    for shape, ways in rows.items():
        speed = ways["slim"][0]
        others = [ways[name] for name in ("onednn", "mkl") if name in ways]
        ahead = all(ratio <= MOST_OF_TIME for _, ratio in others)
        verdict = "" if shape not in GOALS else "reached" if ahead and speed >= LEAST_OF_PEAK * peak else "**missed**"
        cells = [f"{speed:.1f}", f"{speed / peak:.0%}"]
        cells += [text for other in others for text in (f"{other[0]:.1f}", f"{other[1]:.2f}")]
        cells += [f"{ways[name][1]:.2f}" for name in ("bfloat16", "int8")]
        halves = ways.get("onednn-bfloat16")
        # Both are in times of slim's float32, so their ratio is that of their times.
        cells.append(f"{halves[1] / ways['bfloat16'][1]:.2f}" if halves else "")
        yield f"| {shape} | {' | '.join(cells)} | {verdict} |"
        if "read" in ways:
            notes.append(f"{shape}: {ways['read'][1]:.2f} of the time that it takes only to read the weights.")
    yield from ("", *notes, "")


def convolutions(lines: list[str], peak: float) -> Iterator[str]:
    """The table of convolutions of one kind of processor, from their program's output."""
    yield "| convolution, channels last | slim | of the peak |"
    yield "|---|---|---|"
    for line in lines:
        inputs, outputs, size, kernel, stride, groups, gflops = line.split()
        title = f"{inputs} to {outputs} channels, {size} x {size}, {kernel} x {kernel}"
        title += f", stride {stride}" if stride != "1" else ""
        title += ", depthwise" if groups != "1" else ""
        yield f"| {title} | {gflops} | {float(gflops) / peak:.0%} |"
    yield ""


def main() -> None:
    """Measure each kind that this processor can show."""
    torch = find_torch(Backend.CPU, venv=HERE.parent / ".venv")
    library = torch.lib_dirs[0] / "libtorch_cpu.so"
    with tempfile.TemporaryDirectory() as folder:
        products = program(Path(folder) / "products", "kernels.cpp")
        pictures = program(Path(folder) / "convolutions", "convolutions.cpp")
        weights = program(Path(folder) / "weights", "weights_only.cpp")
        for kind in sys.argv[1:] or KINDS:
            limits = KINDS[kind]
            environment = {**os.environ, **limits, "AOT_SLIM_ISA": kind}
            done = subprocess.run(
                [products, library, str(ROUNDS)], env=environment, capture_output=True, text=True, check=True
            )
            lines = done.stdout.splitlines()
            if lines[-1].split()[1] != kind:
                continue  # more than this processor has
            title = f"{processor(Path('/proc/cpuinfo').read_text(encoding='utf-8'))}, {kind}"
            done = subprocess.run([pictures, str(ROUNDS)], env=environment, capture_output=True, text=True, check=True)
            peak = float(lines[-1].split()[2])
            table = [*section(lines), *convolutions(done.stdout.splitlines(), peak)]
            done = subprocess.run([weights, str(ROUNDS)], env=environment, capture_output=True, text=True, check=True)
            table += decoding(done.stdout.splitlines())
            RESULTS.write_text(with_section(RESULTS.read_text(encoding="utf-8"), title, table), encoding="utf-8")
            print(title, *table, sep="\n")


if __name__ == "__main__":
    main()
