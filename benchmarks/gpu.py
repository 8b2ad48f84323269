"""What can only be seen with a GPU: one script, one call, on a machine that has one.

    .venv-aotpack/bin/python -m benchmarks.gpu --backend cuda

Exports an MLP, a convolutional net and a transformer for the GPU, packs each into a portable bundle with code for this
GPU alone and stubs for what the model does not need, runs it, compares with eager PyTorch, and tries what must be
refused: a device that is not there, one of another kind, a model for another GPU. Writes benchmarks/RESULTS-gpu.md;
ends with exit code 1 when anything is not as it should be.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.measure import archive_size

ROOT = Path(__file__).resolve().parents[1]
WORK = ROOT / "build" / "gpu"
RESULTS = Path(__file__).with_name("RESULTS-gpu.md")
MODELS = ("mlp", "convnet", "transformer")
#: Callers at once, and how often each calls.
CALLERS, CALLS = 8, 50
ZSTD_LEVEL = 9

#: What the backend's own torch says; its eager times are what bundles are compared with.
EAGER = """
import json, sys, time, importlib.util, torch
spec = importlib.util.spec_from_file_location("example", sys.argv[1])
example = importlib.util.module_from_spec(spec)
spec.loader.exec_module(example)
module, inputs = example.model()[:2]
module, inputs = module.cuda().eval(), [value.cuda() for value in inputs]
with torch.inference_mode():
    for _ in range(20):
        module(*inputs)
    torch.cuda.synchronize()
    times = []
    for _ in range(200):
        start = time.perf_counter()
        module(*inputs)
        torch.cuda.synchronize()
        times.append((time.perf_counter() - start) * 1e3)
print(json.dumps(sorted(times)[100]))
"""

FACTS = """
import json, torch
major, minor = torch.cuda.get_device_capability()
properties = torch.cuda.get_device_properties(0)
arch = getattr(properties, "gcnArchName", "").split(":")[0] if torch.version.hip else f"sm_{major}{minor}"
count = torch.cuda.device_count()
print(json.dumps({"arch": arch, "name": properties.name, "count": count, "torch": torch.__version__}))
"""

#: Runs in the bundle's own runner: many callers at once get what one caller gets.
CALLERS_AT_ONCE = """
import sys, threading
sys.path.insert(0, sys.argv[1] + "/runner")
import aotrun, numpy
model = aotrun.load(sys.argv[1], model=sys.argv[2], runners=int(sys.argv[3]))
sample = numpy.load(sys.argv[1] + "/models/" + sys.argv[2] + "/sample.npz")
inputs = [sample["in." + spec.name] for spec in model.inputs]
wanted = [sample["out." + spec.name] for spec in model.outputs]
wrong = []
def call():
    for _ in range(int(sys.argv[4])):
        outputs = model.run(*inputs).outputs
        for output, value in zip(outputs.values(), wanted):
            if not numpy.allclose(output.numpy(), value, rtol=1e-2, atol=1e-3):
                wrong.append(float(abs(output.numpy() - value).max()))
threads = [threading.Thread(target=call) for _ in range(int(sys.argv[3]))]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(len(wrong), max(wrong, default=0.0))
"""


@dataclass
class Report:
    """What was seen, as it goes into the file."""

    lines: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def check(self, what: str, passed: bool, seen: str) -> None:
        """One line of the list of checks."""
        self.lines.append(f"- {'ok' if passed else '**FAILED**'}: {what} ({seen})")
        print(self.lines[-1], flush=True)
        if not passed:
            self.failures.append(what)

    def expect(self, what: str, done: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
        """A command must end with an exit code and say certain words."""
        text = done.stdout + done.stderr
        passed = done.returncode == code and all(word in text for word in words)
        self.check(what, passed, f"exit code {done.returncode}: {(done.stderr or done.stdout).strip()[:200]!r}")


def run(*command: str | Path, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run a program to its end."""
    return subprocess.run([*map(str, command)], capture_output=True, text=True, check=False, cwd=cwd)


def aotpack(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the tool; a failure ends the script with the tool's own words."""
    done = run(sys.executable, "-m", "aotpack", *arguments)
    if done.returncode:
        raise SystemExit(f"aotpack {' '.join(map(str, arguments))}\n{done.stdout}{done.stderr}")
    return done


def main() -> None:
    """Do all of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backend", choices=("cuda", "rocm"), default="cuda")
    parser.add_argument("--venv", type=Path, help="the environment that holds its torch; made when missing")
    options = parser.parse_args()
    venv = options.venv or ROOT / f".venv-{options.backend}"
    aotpack("init", "--backend", options.backend, "--venv", venv)
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir(parents=True)
    facts = json.loads(run(venv / "bin" / "python", "-c", FACTS).stdout)
    report = Report()
    table = [measure(name, options.backend, venv, facts, report) for name in MODELS]
    refusals(options.backend, facts, report)
    write(facts, table, report)
    if report.failures:
        raise SystemExit(f"{len(report.failures)} checks failed, see {RESULTS}")


def measure(name: str, backend: str, venv: Path, facts: dict[str, Any], report: Report) -> str:
    """Export, build, run and compare one model; returns its row of the table."""
    package, bundle = WORK / f"{name}.pt2", WORK / name
    source = ROOT / "examples" / f"{name}.py"
    aotpack("export", f"{source}:model", "--output", package, "--device", backend, "--venv", venv, "--verify")
    build = ("build", "--backend", backend, "--venv", venv, "--model", f"{name}={package}", "--portable")
    aotpack(*build, "--arch", facts["arch"], "--output", bundle)
    aotpack("verify", bundle)
    for device in (backend, f"{backend}:0"):
        done = run(bundle / "bin" / "aotrun", "check", "--model", name, "--device", device)
        report.expect(f"{name} on {device} gives what eager PyTorch gave", done, 0, "as recorded at export")
    bench = json.loads(run(bundle / "bin" / "aotrun", "bench", "--model", name, "--json").stdout)
    used = bench["device_used_bytes"]
    report.check(f"{name} tells the device memory in use", used > 0, f"{used / 1e6:.0f} MB")
    threads = run(sys.executable, "-c", CALLERS_AT_ONCE, bundle, name, str(CALLERS), str(CALLS))
    passed = threads.returncode == 0 and threads.stdout.startswith("0 ")
    report.check(
        f"{name} called by {CALLERS} threads at once", passed, (threads.stdout + threads.stderr)[-200:].strip()
    )
    eager = float(run(venv / "bin" / "python", "-c", EAGER, source).stdout)
    on_disk = sum(path.lstat().st_blocks * 512 for path in bundle.rglob("*"))
    archive = archive_size([bundle], ZSTD_LEVEL)
    return (
        f"| {name} | {bench['median_ms']:.3f} | {eager:.3f} | {bench['load_ms']:.0f} | {used / 1e6:.0f} "
        f"| {on_disk / 1e6:.0f} | {archive / 1e6:.0f} |"
    )


def refusals(backend: str, facts: dict[str, Any], report: Report) -> None:
    """What must end with a clear error."""
    bundle = WORK / "mlp"
    aotrun = bundle / "bin" / "aotrun"
    beyond = f"{backend}:{facts['count']}"
    done = run(aotrun, "check", "--model", "mlp", "--device", beyond)
    report.expect("an index out of range is refused", done, 7, beyond, f"this machine has {facts['count']}")
    other = "sm_50" if backend == "cuda" else "gfx803"
    with changed_json(bundle / "models" / "mlp" / "model.json", gpu_archs=[other]):
        done = run(aotrun, "bench", "--model", "mlp")
    report.expect("a model for another GPU is refused, both named", done, 5, other, facts["arch"])
    wrong = "rocm" if backend == "cuda" else "cpu"
    report.expect("a device of another kind is refused", run(aotrun, "bench", "--device", wrong), 5)


@contextmanager
def changed_json(path: Path, **fields: Any) -> Iterator[None]:
    """A JSON file with other fields for the time of a block."""
    before = path.read_bytes()
    path.write_text(json.dumps({**json.loads(before), **fields}))
    try:
        yield
    finally:
        path.write_bytes(before)


def write(facts: dict[str, Any], table: Sequence[str], report: Report) -> None:
    """The results, to be committed."""
    RESULTS.write_text(
        "# Results on a GPU\n\n"
        f"{facts['name']} ({facts['arch']}), {facts['count']} of them; torch {facts['torch']}. "
        f"Made by `python -m benchmarks.gpu`; portable bundles with `--arch {facts['arch']}`, sizes on disk without "
        f"holes, archives by zstd -{ZSTD_LEVEL}. Times are medians of a call with the device synchronised.\n\n"
        "| model | bundle, ms | eager, ms | load, ms | device memory, MB | on disk, MB | tar.zst, MB |\n"
        "|---|---|---|---|---|---|---|\n" + "\n".join(table) + "\n\n" + "\n".join(report.lines) + "\n",
        encoding="utf-8",
    )


if __name__ == "__main__":
    main()
