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
from tests.support.packages.exporting import SOURCES, cached_export, cached_plain_export

PLAIN = """
import sys
import numpy as np
from aotrun.library.model import Model
model = Model(sys.argv[1], sys.argv[2], device=None, runners=1, threads=0)
x, index, source = np.ones((6, 5), np.float32), np.zeros((3, 5), np.int64), np.ones((3, 5), np.float32)
for _ in range(3):
    assert np.asarray(model(x, index, source))[0].tolist() == [8] * 5
    for bad in (6, -7, 1 << 40):
        wrong = index.copy()
        wrong[1, 2] = bad
        try:
            model(x, wrong, source)
            print("no error for", bad)
        except Exception as error:
            assert "out of bounds" in str(error), error
"""
SCRIPT = Path(__file__).resolve().parents[1] / "slim" / "indices_out_of_range.py"


@pytest.mark.parametrize("threads", [1, 2])
def test_a_model_refuses_indices_that_torch_refuses(
    backend_venv: Path, backend_python: Path, tmp_path: Path, threads: int
) -> None:
    package = cached_export(backend_venv, SOURCES / "safety_models.py", function="indexing")
    bundle = tmp_path / "bundle"
    models = (("indexing", package),)
    build(
        BuildRequest(backend=Backend.CPU, output=bundle, models=models, runtime="full", venv=backend_venv), Reporter()
    )
    command = [backend_python, "-W", "ignore", SCRIPT, "eager"]
    calls = json.loads(subprocess.check_output(command, env={**os.environ, "PYTHONPATH": str(SOURCES)}))
    done = subprocess.run(
        [sys.executable, SCRIPT, bundle, str(threads)],
        env={**os.environ, "PYTHONPATH": str(bundle / "runner")},
        input=json.dumps(calls),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-8000:]
    asked, errors = calls["calls"], json.loads(done.stdout)
    assert [call for call, error in zip(asked, errors, strict=True) if call["raises"] and not error] == []
    assert sum(call["raises"] for call in asked) > len(asked) // 2


def test_what_code_of_plain_pytorch_does_not_look_at(backend_venv: Path, tmp_path: Path) -> None:
    package = cached_plain_export(backend_venv, SOURCES / "safety_models.py", "scattering")
    bundle = tmp_path / "bundle"
    build(BuildRequest(backend=Backend.CPU, output=bundle, runtime="full", venv=backend_venv), Reporter())
    done = subprocess.run(
        [sys.executable, "-c", PLAIN, bundle, package],
        env={**os.environ, "PYTHONPATH": str(bundle / "runner")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr[-4000:]
