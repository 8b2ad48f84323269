"""`make bench`: aotpack's bundles beside what a user would pick instead, in one run, on the same model and inputs.

Figures are medians over rounds in which all contenders run in turn; what is claimed are ratios within a round, because
absolute times of a shared machine mean little. Writes this kind of CPU's section of benchmarks/RESULTS.md.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from aotpack.backend import Backend
from aotpack.environment.search import find_torch
from aotpack.environment.torch import TorchInfo
from aotpack.native.bridge import build_bridge
from benchmarks import doctor, embedding, models, results
from benchmarks.measure import Contender, Sample, archive_size, median, median_ratio, run_in_turn, size_of

ROOT = Path(__file__).resolve().parents[1]
WORK = ROOT / "build" / "bench"
PROGRAMS = Path(__file__).parent / "programs"
ROWS, COLUMNS = 8, 64
#: What is measured is the model and the way to it, not the scheduler.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
#: The level at which sizes of archives are compared.
ZSTD_LEVEL = 9


@dataclass(frozen=True)
class Claim:
    """A ratio or size to reach."""

    what: str
    seen: float
    limit: float
    unit: str = ""

    @property
    def line(self) -> str:
        """A row of the table of claims."""
        verdict = "reached" if self.seen <= self.limit else "**missed**"
        return f"| {self.what} | {self.seen:.3g}{self.unit} | <= {self.limit:.3g}{self.unit} | {verdict} |"


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--calls", type=int, default=2000)
    parser.add_argument("--no-models", dest="models", action="store_false", help="the MLP alone, without larger models")
    options = parser.parse_args()
    WORK.mkdir(parents=True, exist_ok=True)
    torch = find_torch(Backend.CPU, venv=ROOT / ".venv")
    packages = dict.fromkeys(("full", "slim"), export_package())
    packages["plain"] = export_plain_package(torch)
    timings = {"bridge compile": compile_bridge(torch), **build_bundles(packages)}
    contenders = list(make_contenders(torch, packages["plain"], options.calls))
    samples = run_in_turn(contenders, options.rounds)
    check_agreement(samples)
    sizes = {name: (size_of(paths), archive_size(paths, ZSTD_LEVEL)) for name, paths in disk(contenders)}
    lines = [*report(samples, sizes, timings), "", *embedding.table(list(embedding.measure(WORK / "full", WORK)))]
    lines += ["", *doctor.table(list(doctor.measure(WORK / "full", WORK)))]
    if options.models:
        lines += ["", *models.measure(torch, onnx_packages(torch), WORK, min(options.rounds, 7))]
    print(results.publish(lines))


def _aotpack(*arguments: str | Path) -> float:
    """Run the command line as where pip has installed it, which is with its bytecode; seconds it took."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, "-m", "aotpack", *map(str, arguments)]
    start = time.perf_counter()
    subprocess.run(command, check=True, cwd=ROOT, stdout=sys.stderr, env=env)
    return time.perf_counter() - start


def export_package() -> Path:
    """The example, exported; kept between runs."""
    package = WORK / "mlp.pt2"
    if not package.exists():
        _aotpack("export", "examples/mlp.py:model", "--output", package, "--verify")
    return package


def export_plain_package(torch: TorchInfo) -> Path:
    """The example as PyTorch's tutorial exports it, which is what users of its package loader have."""
    package = WORK / "mlp-plain.pt2"
    if not package.exists():
        export = [str(torch.python), str(PROGRAMS / "export_plain.py"), str(ROOT / "examples/mlp.py"), str(package)]
        subprocess.run(export, check=True, stdout=sys.stderr)
    return package


def compile_bridge(torch: TorchInfo, rounds: int = 3) -> float:
    """Seconds of compiling the bridge into an empty cache, the median of some rounds; the builds find the last one."""
    cache = WORK / "cache"
    os.environ["XDG_CACHE_HOME"] = str(cache)
    seconds = []
    for _ in range(rounds):
        shutil.rmtree(cache, ignore_errors=True)
        start = time.perf_counter()
        build_bridge(torch, Backend.CPU)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def build_bundles(packages: dict[str, Path]) -> dict[str, float]:
    """Both kinds of bundle, the first time and again, the median of three; seconds of each build."""
    timings: dict[str, float] = {}
    for runtime in ("full", "slim"):
        package, output = packages[runtime], WORK / runtime
        shutil.rmtree(output, ignore_errors=True)
        arguments = ("build", "--model", f"mlp={package}", "--portable", "--runtime", runtime, "--output", output)
        timings[f"portable build, {runtime}"] = _aotpack(*arguments)
        again = [_aotpack(*arguments) for _ in range(3)]
        timings[f"portable build, {runtime}, nothing changed"] = statistics.median(again)
    return timings


def make_contenders(torch: TorchInfo, package: Path, calls: int) -> Iterator[Contender]:
    """All ways to run the model, compiled and ready; `package` is PyTorch's own."""
    shape = (str(ROWS), str(COLUMNS), str(calls))
    clean = {"PATH": os.environ["PATH"], **ONE_THREAD}
    lib = torch.lib_dirs[0]
    reference = WORK / "reference"
    if not reference.exists():
        includes = [f"-I{folder}" for folder in torch.include_dirs]
        api = torch.root / "include" / "torch" / "csrc" / "api" / "include"
        sources = [str(PROGRAMS / "reference.cpp"), "-O2", "-std=c++20", f"-I{api}", *includes]
        link = [f"-L{lib}", f"-Wl,-rpath,{lib}", "-ltorch", "-ltorch_cpu", "-lc10"]
        subprocess.run(["c++", *sources, *link, "-o", str(reference)], check=True)  # noqa: S607
    torch_files = tuple(lib / name for name in ("libtorch.so", "libtorch_cpu.so", "libc10.so", "libgomp.so.1"))
    yield Contender(
        "reference: C++ AOTIModelPackageLoader",
        (str(reference), str(package), *shape),
        clean,
        (reference, *torch_files, package),
    )
    for runtime in ("full", "slim"):
        bundle = WORK / runtime
        program = WORK / f"driver-{runtime}"
        flags = ["-O2", f"-I{bundle}/include", f"-L{bundle}/lib", f"-Wl,-rpath,{bundle}/lib", "-laot_bridge"]
        subprocess.run(["cc", str(PROGRAMS / "bundle.c"), *flags, "-o", str(program)], check=True)  # noqa: S607
        model = str(bundle / "models" / "mlp")
        yield Contender(f"aotpack {runtime}: C API", (str(program), model, *shape), clean, (bundle,))
        python = [str(bundle / "python/bin/python3"), "-I", "-S", "-B"]
        loader = next((bundle / "libc").glob("ld-linux-*"))
        start = (str(loader), "--library-path", f"{bundle}/libc:{bundle}/lib/gcc", *python)
        runner = (*start, str(PROGRAMS / "run_aotrun.py"), str(bundle / "runner"), model, *shape)
        yield Contender(f"aotpack {runtime}: Python runner", runner, clean, (bundle,))
    assert torch.python is not None
    assert torch.site_packages is not None
    python_torch = (str(torch.python), str(PROGRAMS / "run_torch.py"), str(package), *shape)
    yield Contender("Python + torch", python_torch, clean, (torch.site_packages, package))
    frozen = frozen_program(torch)
    run_frozen = (str(frozen / frozen.name), str(package), *shape)
    yield Contender("Python + torch, by PyInstaller", run_frozen, clean, (frozen, package))
    packages, onnx = onnx_model(torch)
    run_onnx = (str(torch.python), str(PROGRAMS / "run_onnx.py"), str(onnx), *shape)
    needs = (packages / "onnxruntime", packages / "numpy", onnx)
    yield Contender("ONNX Runtime, Python", run_onnx, {**clean, "PYTHONPATH": str(packages)}, needs)


def frozen_program(torch: TorchInfo) -> Path:
    """The folder that PyInstaller makes of Python, torch and the program, named as the program in it."""
    packages, folder = WORK / "pyinstaller-packages", WORK / "run_torch"
    if not (folder / folder.name).exists():
        install = [str(torch.python), "-m", "pip", "install", "--quiet", "--target", str(packages), "pyinstaller>=6.10"]
        subprocess.run(install, check=True, stdout=sys.stderr)
        freeze = [str(torch.python), "-m", "PyInstaller", "--onedir", "--noconfirm", "--log-level", "WARN"]
        freeze += ["--distpath", str(WORK), "--workpath", str(WORK / "pyinstaller"), "--specpath", str(WORK)]
        freeze += ["--name", folder.name, str(PROGRAMS / "run_torch.py")]
        subprocess.run(freeze, check=True, env={**os.environ, "PYTHONPATH": str(packages)}, stdout=sys.stderr)
    return folder


def onnx_packages(torch: TorchInfo) -> Path:
    """ONNX Runtime in a folder of its own."""
    packages = WORK / "onnx-packages"
    if not packages.exists():
        wanted = ["onnxruntime>=1.20", "onnx>=1.17", "onnxscript>=0.3", "numpy>=1.26"]
        pip = [str(torch.python), "-m", "pip", "install", "--quiet", "--target", str(packages), *wanted]
        subprocess.run(pip, check=True, stdout=sys.stderr)
    return packages


def onnx_model(torch: TorchInfo) -> tuple[Path, Path]:
    """ONNX Runtime, and the same model exported for it."""
    packages, model = onnx_packages(torch), WORK / "mlp.onnx"
    if not model.exists():
        export = [str(torch.python), str(PROGRAMS / "export_onnx.py"), str(ROOT / "examples/mlp.py"), str(model)]
        subprocess.run(export, check=True, env={**os.environ, "PYTHONPATH": str(packages)}, stdout=sys.stderr)
    return packages, model


def disk(contenders: list[Contender]) -> Iterator[tuple[str, tuple[Path, ...]]]:
    """What each way puts on disk, ways that share a folder once."""
    seen: set[tuple[Path, ...]] = set()
    for contender in contenders:
        if contender.on_disk not in seen and contender.name != "Python + torch":
            seen.add(contender.on_disk)
            yield contender.name, contender.on_disk


def check_agreement(samples: dict[str, list[Sample]]) -> None:
    """All ways must compute the same, or their times mean nothing."""
    outputs = {name: runs[0].output for name, runs in samples.items()}
    first = next(iter(outputs.values()))
    if any(abs(value - first) > 1e-4 * max(1.0, abs(first)) for value in outputs.values()):
        raise RuntimeError(f"the ways disagree: {outputs}")


def report(
    samples: dict[str, list[Sample]], sizes: dict[str, tuple[int, int]], timings: dict[str, float]
) -> Iterator[str]:
    """The lines of the section."""
    reference = samples["reference: C++ AOTIModelPackageLoader"]

    def ratio(name: str, field: str, to: list[Sample] = reference) -> float:
        one, other = ([getattr(sample, field) for sample in runs] for runs in (samples[name], to))
        return median_ratio(one, other)

    yield "| way | spawn to first output, ms | ratio | per call, us | ratio | peak RSS, MB |"
    yield "|---|---|---|---|---|---|"
    for name, runs in samples.items():
        first, call, rss = (median(runs, field) for field in ("first_ms", "call_us", "peak_rss_mb"))
        of_first, of_call = ratio(name, "first_ms"), ratio(name, "call_us")
        yield f"| {name} | {first:.1f} | {of_first:.3f} | {call:.2f} | {of_call:.2f} | {rss:.0f} |"
    yield ""
    yield f"| on disk | MB | tar.zst -{ZSTD_LEVEL}, MB |"
    yield "|---|---|---|"
    for name, (plain, packed) in sizes.items():
        yield f"| {name} | {plain / 1e6:.1f} | {packed / 1e6:.1f} |"
    yield ""
    yield "| step | seconds |"
    yield "|---|---|"
    for name, seconds in timings.items():
        yield f"| {name} | {seconds:.2f} |"
    yield ""
    yield "| to reach | seen | limit | |"
    yield "|---|---|---|---|"
    full, slim = sizes["aotpack full: C API"], sizes["aotpack slim: C API"]
    onnx = samples["ONNX Runtime, Python"]
    claims = [
        Claim("full, C API: spawn to first output, of the reference", ratio("aotpack full: C API", "first_ms"), 0.6),
        Claim("full, C API: per call, of the reference", ratio("aotpack full: C API", "call_us"), 0.7),
        Claim("bridge compile", timings["bridge compile"], 3, " s"),
        Claim("full: no-op build", timings["portable build, full, nothing changed"], 0.5, " s"),
        Claim("full: bundle on disk", full[0] / 1e6, 400, " MB"),
        Claim("full: bundle as tar.zst", full[1] / 1e6, 110, " MB"),
        Claim("slim: bundle on disk", slim[0] / 1e6, 15, " MB"),
        Claim("slim: bundle as tar.zst", slim[1] / 1e6, 5, " MB"),
        Claim(
            "slim, Python: spawn to first output, of ONNX Runtime",
            ratio("aotpack slim: Python runner", "first_ms", onnx),
            1 / 6,
        ),
        Claim(
            "slim, C API: spawn to first output, of ONNX Runtime",
            ratio("aotpack slim: C API", "first_ms", onnx),
            1 / 30,
        ),
        Claim("slim, C API: per call, of ONNX Runtime", ratio("aotpack slim: C API", "call_us", onnx), 0.9),
    ]
    yield from (claim.line for claim in claims)


if __name__ == "__main__":
    main()
