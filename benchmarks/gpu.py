"""What can only be seen with a GPU: one script, one call, on a machine that has one.

    .venv-aotpack/bin/python -m benchmarks.gpu --backend cuda [--venv DIR]

Exports an MLP, a convolutional net, a transformer and a chain of large matrix products for the GPU, packs each into a
portable bundle with code for this GPU alone and stubs for what the model does not need, runs it in an empty root,
compares with eager PyTorch, hands torch's own GPU tensors through, runs packages for several GPUs, and tries what must
be refused: a device that is not there, one of another kind, a model for another GPU. Writes
benchmarks/RESULTS-gpu.md; ends with exit code 1 when anything is not as it should be.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.measure import archive_size

ROOT = Path(__file__).resolve().parents[1]
WORK = ROOT / "build" / "gpu"
RESULTS = Path(__file__).with_name("RESULTS-gpu.md")
MODELS = ("mlp", "convnet", "transformer", "products")
#: Callers at once, and how often each calls.
CALLERS, CALLS = 8, 50
ZSTD_LEVEL = 9

#: Long enough on any GPU that a clock which does not wait for the device shows.
PRODUCTS = """
import torch
from torch import nn

class Products(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4096, 4096, dtype=torch.float16) / 64)

    def forward(self, x):
        x = x.repeat(64, 1)  # 2048 rows
        for _ in range(16):
            x = x @ self.weight
        return x.mean(dim=1)

def model():
    torch.manual_seed(0)
    return Products().eval(), (torch.randn(32, 4096, dtype=torch.float16),)
"""

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

#: Runs in the backend's own Python, on a bundle linked to it: torch's GPU tensors in and out, nothing copied.
TENSORS = """
import sys, importlib.util, torch
sys.path.insert(0, sys.argv[1] + "/runner")
import aotrun
spec = importlib.util.spec_from_file_location("example", sys.argv[2])
example = importlib.util.module_from_spec(spec)
spec.loader.exec_module(example)
module, inputs = example.model()[:2]
module, inputs = module.cuda().eval(), [value.cuda() for value in inputs]
model = aotrun.load(sys.argv[1])
torch.cuda.synchronize()
before = torch.cuda.mem_get_info()[0]
output = model(*inputs)
shared = torch.from_dlpack(output)
with torch.inference_mode():
    wanted = module(*inputs)
assert shared.device == wanted.device, (shared.device, wanted.device)
torch.testing.assert_close(shared, wanted, rtol=1e-2, atol=1e-3)
stream = torch.cuda.Stream()
with torch.cuda.stream(stream):
    busy = inputs[0]
    for _ in range(200):
        busy = busy + 0
    late = torch.from_dlpack(model(busy))
torch.testing.assert_close(late, wanted, rtol=1e-2, atol=1e-3)
print("agrees on", shared.device)
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
        line = " ".join(seen.replace(f"{ROOT}/", "").split())
        self.lines.append(f"- {'ok' if passed else '**FAILED**'}: {what} ({line})")
        print(self.lines[-1], flush=True)
        if not passed:
            self.failures.append(what)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """A part that may fail as a whole; the others go on."""
        start = time.monotonic()
        try:
            yield
        except Exception as error:  # noqa: BLE001  (a GPU's time is short: see all that can be seen)
            self.check(f"{name} came to its end", False, f"{type(error).__name__}: {error}"[-3000:])
        print(f"  ({name}: {time.monotonic() - start:.0f} s)", flush=True)

    def expect(self, what: str, done: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
        """A command must end with an exit code and say certain words."""
        text = done.stdout + done.stderr
        passed = done.returncode == code and all(word in text for word in words)
        telling = [line for line in text.splitlines() if any(word in line for word in words)] or text.splitlines()
        self.check(what, passed, f"exit code {done.returncode}: {telling[0] if passed else text[-1500:]}")


def run(*command: str | Path, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run a program to its end."""
    return subprocess.run([*map(str, command)], capture_output=True, text=True, check=False, cwd=cwd)


def aotpack(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the tool; a failure is raised in the tool's own words."""
    start = time.monotonic()
    done = run(sys.executable, "-m", "aotpack", *arguments)
    print(f"  aotpack {arguments[0]}: {time.monotonic() - start:.1f} s", flush=True)
    if done.returncode:
        raise RuntimeError(f"aotpack {' '.join(map(str, arguments))}\n{done.stdout}{done.stderr}")
    return done


def main() -> None:
    """Do all of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backend", choices=("cuda", "rocm"), default="cuda")
    parser.add_argument(
        "--venv", type=Path, help="an environment with its torch, taken as it is; by default the backend's own"
    )
    parser.add_argument("--models", nargs="+", choices=MODELS, default=MODELS, help="only these")
    options = parser.parse_args()
    venv = options.venv or ROOT / f".venv-{options.backend}"
    if options.venv is None:
        aotpack("init", "--backend", options.backend)
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir(parents=True)
    (WORK / "products.py").write_text(PRODUCTS)
    facts = json.loads(run(venv / "bin" / "python", "-c", FACTS).stdout)
    report = Report()
    with report.step("exports"), ThreadPoolExecutor() as pool:
        list(pool.map(lambda name: export(name, options.backend, venv), options.models))
    table = []
    for name in options.models:
        with report.step(name):
            table.append(measure(name, options.backend, venv, facts, report))
    for name in sorted({"mlp", "transformer"} & set(options.models)):
        with report.step(f"{name}, tensors of torch"):
            tensors(name, options.backend, venv, report)
    with report.step("several GPUs"):
        several(options.backend, venv, facts, report)
    with report.step("refusals"):
        refusals(options.backend, facts, report)
    with report.step("doctor"):
        doctors(options.backend, venv, facts, report)
    write(facts, table, report)
    if report.failures:
        raise SystemExit(f"{len(report.failures)} checks failed, see {RESULTS}")


def export(name: str, backend: str, venv: Path) -> None:
    """Export one model for the GPU, and compare the compiled one with eager PyTorch."""
    target = ("--output", WORK / f"{name}.pt2", "--device", backend, "--venv", venv)
    aotpack("export", f"{source_of(name)}:model", *target, "--verify")


def measure(name: str, backend: str, venv: Path, facts: dict[str, Any], report: Report) -> str:
    """Build, run and compare one model; returns its row of the table."""
    package, bundle = WORK / f"{name}.pt2", WORK / name
    source = source_of(name)
    build = ("build", "--backend", backend, "--venv", venv, "--model", f"{name}={package}", "--portable")
    aotpack(*build, "--arch", facts["arch"], "--output", bundle)
    ran = run(sys.executable, "-m", "aotpack", "verify", bundle, "--run", "--json")
    passed = ran.returncode == 0 and json.loads(ran.stdout)["run"]["sandbox"] is not None
    seen = (ran.stdout + ran.stderr)[-1500:]
    if passed:
        document = json.loads(ran.stdout)["run"]
        seen = "; ".join([document["sandbox"], *(each["detail"] for each in document["models"][name]["checks"][2:])])
    report.check(f"{name} runs where only the bundle and the driver are", passed, seen)
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
    if name == "products":
        clock = bench["latency_ms"]
        seen = f"{clock:.2f} ms, eager PyTorch {eager:.2f} ms"
        report.check("the clock waits for the device", 0.5 < clock / eager < 2, seen)
    on_disk = sum(path.lstat().st_blocks * 512 for path in bundle.rglob("*"))
    archive = f"{archive_size([bundle], ZSTD_LEVEL) / 1e6:.0f}" if shutil.which("zstd") else "no zstd here"
    return (
        f"| {name} | {bench['median_ms']:.3f} | {eager:.3f} | {bench['load_ms']:.0f} | {used / 1e6:.0f} "
        f"| {on_disk / 1e6:.0f} | {archive} |"
    )


def source_of(name: str) -> Path:
    """The file that defines a model."""
    folder = WORK if name == "products" else ROOT / "examples"
    return folder / f"{name}.py"


def tensors(name: str, backend: str, venv: Path, report: Report) -> None:
    """GPU tensors of torch through a development bundle, which shares torch's libraries."""
    bundle = WORK / f"{name}-development"
    model = f"{name}={WORK / name}.pt2"
    aotpack("build", "--backend", backend, "--venv", venv, "--output", bundle, "--model", model)
    done = run(venv / "bin" / "python", "-c", TENSORS, bundle, source_of(name))
    report.expect(f"{name} takes and gives torch's own GPU tensors", done, 0, "agrees on cuda:0")


def several(backend: str, venv: Path, facts: dict[str, Any], report: Report) -> None:
    """Packages for more than this GPU, where torch and nvcc can: by machine code for it, and by PTX of an older one."""
    if backend != "cuda":
        return
    for archs in (f"sm_75,{facts['arch']}", "sm_75"):
        package, bundle = WORK / f"mlp-{archs}.pt2", WORK / f"mlp-{archs}"
        target = ("--output", package, "--device", backend, "--arch", archs, "--venv", venv, "--verify")
        done = run(sys.executable, "-m", "aotpack", "export", f"{source_of('mlp')}:model", *target)
        what = f"a package for {archs} gives what eager PyTorch gave"
        if done.returncode in (3, 4):
            report.check(f"{what}: not tried", True, next(iter(done.stderr.splitlines()), ""))
            continue
        report.expect(what, done, 0, "output0: largest error")
        aotpack("build", "--backend", backend, "--venv", venv, "--output", bundle, "--model", f"mlp={package}")
        checked = run(bundle / "bin" / "aotrun", "check", "--model", "mlp")
        report.expect(f"{what}, from a bundle", checked, 0, "as recorded at export")


def doctors(backend: str, venv: Path, facts: dict[str, Any], report: Report) -> None:
    """Both doctors know this GPU and find nothing wrong with it."""
    bundle = WORK / "mlp"
    here = run(
        *(sys.executable, "-m", "aotpack", "doctor", "--backend", backend, "--venv", venv, "--json"),
        *("--model", WORK / "mlp.pt2", "--bundle", bundle),
    )
    there = run(bundle / "bin" / "aotrun", "doctor", "--json")
    for what, done in (("aotpack doctor", here), ("aotrun doctor", there)):
        (WORK / f"{what.replace(' ', '-')}.json").write_text(done.stdout)
        found = {each["code"]: each["severity"] for each in json.loads(done.stdout)["findings"]}
        errors = [code for code, severity in found.items() if severity == "error"]
        report.check(f"{what} finds no error", not errors and done.returncode == 0, f"{len(found)} findings: {found}")
    plain = run(bundle / "bin" / "aotrun", "doctor")
    (WORK / "aotrun-doctor.txt").write_text(plain.stdout + plain.stderr)


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
    for bad in (f"{backend}:-1", f"{backend}:x"):
        report.expect(f"{bad} is no device", run(aotrun, "check", "--device", bad), 2, bad)
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
