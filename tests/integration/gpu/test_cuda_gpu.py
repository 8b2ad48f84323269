"""What can only be seen with a GPU (make test-gpu); benchmarks/gpu.py does it and writes down what it saw."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.gpu
@pytest.mark.timeout(3600)
def test_models_on_a_gpu() -> None:
    backends = {"nvidia-smi": "cuda", "rocminfo": "rocm"}
    found = [backend for tool, backend in backends.items() if shutil.which(tool)]
    if not found:
        pytest.skip("no GPU here: neither nvidia-smi nor rocminfo is on PATH")
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu", "--backend", found[0]],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stdout + done.stderr
