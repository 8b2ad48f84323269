"""`make test-pytorch-suite`: tests of PyTorch whose packages run through the bridge as well, with both runtimes.

python -m tests.tools.pytorch_suite FILE.py [-k PATTERN]... [--json FILE]

FILE.py is a unittest file that loads what it compiles with `torch._inductor.aoti_load_package`, such as
test/inductor/test_aot_inductor.py of a checkout of PyTorch of the torch in .venv. Each package also runs in the full
and the slim runtime, on copies of the same inputs, and is held against what libtorch gave.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from aotpack.backend import Backend
from aotpack.building.build import build
from aotpack.building.request import BuildRequest
from aotpack.environment.search import find_torch
from aotpack.errors import AotpackError
from aotpack.exporting import driving
from aotpack.progress.reporter import Reporter
from tests.support.packages.exporting import EXAMPLES, ROOT, cached_export

WORKER = Path(__file__).resolve().parent / "pytorch_suite_worker.py"


def main(arguments: list[str]) -> int:
    """Build a bundle of each runtime, run the file under both; 1 if a result was wrong or a process ended."""
    venv = ROOT / ".venv"
    try:
        packages = {
            # What these need, the bundles then have for others: oneDNN, and libtorch's proxy executor.
            "slim": cached_export(venv, EXAMPLES / "convnet.py"),
            "full": cached_export(venv, EXAMPLES / "no_shim.py"),
        }
        torch = find_torch(Backend.CPU, venv=venv)
        with tempfile.TemporaryDirectory() as scratch:
            bundles = [build_bundle(venv, package, runtime, Path(scratch)) for runtime, package in packages.items()]
            command = [driving.interpreter(torch), str(WORKER), ",".join(map(str, bundles)), *arguments]
            return subprocess.run(command, check=False).returncode
    except AotpackError as error:
        print(error, file=sys.stderr)
        return 1


def build_bundle(venv: Path, package: Path, runtime: str, folder: Path) -> Path:
    """A development bundle whose libraries then run other packages."""
    output = folder / runtime
    build(
        BuildRequest(backend=Backend.CPU, output=output, models=((None, package),), runtime=runtime, venv=venv),
        Reporter(),
    )
    return output


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
