"""Packages that lie of how their weights were packed, in the slim runtime under sanitizers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from aotpack.backend import Backend
from aotpack.environment.search import find_torch
from tests.support.bundles import sanitizing
from tests.support.packages.exporting import ROOT, SOURCES, cached_export
from tests.support.packages.float16_packages import as_float16

SCRIPT = Path(__file__).with_name("hostile_layouts.py")
#: Lies of a short run, the same ones each time.
SHORT = 250


@pytest.mark.xdist_group("asan")
@pytest.mark.parametrize("name", ["models", "halves", "float16", "bytes"])
def test_no_lie_makes_a_model_leave_its_memory(name: str, tmp_path: Path) -> None:
    venv = ROOT / ".venv"
    package = cached_export(venv, SOURCES / f"packed_{'halves' if name == 'float16' else name}.py")
    if name == "float16":
        package = as_float16(package, tmp_path / "packed.pt2")
    runtime = sanitizing.address_runtime(find_torch(Backend.CPU, venv=venv))
    bundle = sanitizing.slim_bundle(tmp_path / "bundle", venv, {"packed": package}, runtime)
    if not json.loads((bundle / "models/packed/model.json").read_text())["layouts"]:
        assert name in ("halves", "float16"), "nothing is packed"
        pytest.skip("oneDNN packs no halves for this processor")
    environment = {**sanitizing.environment("libasan.so", "libubsan.so"), "PYTHONPATH": str(bundle / "runner")}
    command = [sys.executable, SCRIPT, bundle, "packed", str(SHORT), os.environ.get("AOT_FUZZ_SECONDS", "0")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-8000:]
    outcomes = json.loads(done.stdout)
    assert outcomes["refused"] > SHORT // 3
    assert outcomes["ran"] > 0, "no lie comes as far as the kernels"
