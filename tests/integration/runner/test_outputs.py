"""Outputs that repeat, that are an input, a constant, a view of one, or nothing: in both runtimes, call after call."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from aotpack.backend import Backend
from aotpack.building.build import build
from aotpack.building.request import BuildRequest
from aotpack.environment.search import find_torch
from aotpack.native.slim import build_slim
from aotpack.progress.reporter import Reporter
from aotpack.runtime.slim_table import Part
from tests.support.bundles import sanitizing
from tests.support.packages.exporting import SOURCES, cached_export, cached_plain_export

SCRIPT = Path(__file__).with_name("outliving.py")


@pytest.fixture(scope="module")
def packages(backend_venv: Path) -> dict[str, Path]:
    source = SOURCES / "alias_models.py"
    return {
        "ours": cached_export(backend_venv, source),
        "plain": cached_plain_export(backend_venv, source, "with_none"),
    }


def outlive(bundle: Path, **environment: str) -> None:
    done = subprocess.run(
        [sys.executable, SCRIPT, bundle],
        env={**environment, "PYTHONPATH": str(bundle / "runner")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "outlived\n"), done.stderr[-8000:]


def test_full(packages: dict[str, Path], backend_venv: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    request = BuildRequest(
        backend=Backend.CPU, output=bundle, models=tuple(packages.items()), runtime="full", venv=backend_venv
    )
    build(request, Reporter())
    outlive(bundle)


def test_slim_under_sanitizers(packages: dict[str, Path], backend_venv: Path, tmp_path: Path) -> None:
    runtime = build_slim(find_torch(Backend.CPU, venv=backend_venv), tuple(Part), sanitize="address,undefined")
    bundle = sanitizing.slim_bundle(tmp_path / "bundle", backend_venv, packages, runtime)
    outlive(bundle, **sanitizing.environment("libasan.so", "libubsan.so"))
