"""`make test-op`: compile what changed of the slim runtime, and hold some of its functions against torch's.

python -m tests.tools.slim_op arithmetic --only gcd        # the cases of cases/arithmetic.py, of gcd alone
python -m tests.tools.slim_op arithmetic --only gcd --seed 17
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from aotpack.backend import Backend
from aotpack.environment.search import find_torch
from aotpack.errors import AotpackError
from aotpack.exporting import driving
from aotpack.native.slim import build_slim_in

ROOT = Path(__file__).resolve().parents[2]
HARNESS = ROOT / "tests" / "integration" / "slim" / "slim_harness.py"


def main(arguments: list[str]) -> int:
    """Build, then hand the arguments to the harness; its exit status."""
    torch = find_torch(Backend.CPU, venv=ROOT / ".venv")
    try:
        built = build_slim_in(ROOT / "build" / "slim", torch)
    except AotpackError as error:
        print(error, file=sys.stderr)
        return 1
    environment = {**os.environ, "LD_LIBRARY_PATH": os.pathsep.join(map(str, built.folders))}
    command = [driving.interpreter(torch), HARNESS, "--library", built.libraries[0], *arguments]
    return subprocess.run(command, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
