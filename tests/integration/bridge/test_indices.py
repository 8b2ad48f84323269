"""Indices that leave their tensor, in the full runtime: whatever eager PyTorch raises for is an error, never the end of
the process. (The slim runtime, under sanitizers: tests/integration/slim/test_slim_runtime.py.)"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from aotpack.backend import Backend
from aotpack.building.build import build
from aotpack.building.request import BuildRequest
from aotpack.progress.reporter import Reporter
from tests.support.exporting import SUPPORT, cached_export

SCRIPT = Path(__file__).resolve().parents[1] / "slim" / "indices_out_of_range.py"


@pytest.mark.parametrize("threads", [1, 2])
def test_a_model_refuses_indices_that_torch_refuses(
    backend_venv: Path, backend_python: Path, tmp_path: Path, threads: int
) -> None:
    package = cached_export(backend_venv, SUPPORT / "safety_models.py", function="indexing")
    bundle = tmp_path / "bundle"
    models = (("indexing", package),)
    build(
        BuildRequest(backend=Backend.CPU, output=bundle, models=models, runtime="full", venv=backend_venv), Reporter()
    )
    command = [backend_python, "-W", "ignore", SCRIPT, "eager"]
    calls = json.loads(subprocess.check_output(command, env={**os.environ, "PYTHONPATH": str(SUPPORT)}))
    done = subprocess.run(
        [sys.executable, SCRIPT, bundle, str(threads)],
        env={**os.environ, "PYTHONPATH": str(bundle / "runner")},
        input=json.dumps(calls),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-8000:]
    missed = [
        call
        for call, error in zip(calls["calls"], json.loads(done.stdout), strict=True)
        if call["raises"] and not error
    ]
    assert missed == []
