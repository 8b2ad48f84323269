"""The bundle that is served."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from aotpack.backend import Backend
from aotpack.building.build import build
from aotpack.building.request import BuildRequest
from aotpack.progress.reporter import Reporter
from tests.support.packages.exporting import cached_export
from tests.support.sharing import once

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def bundle(backend_venv: Path, exported: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A portable bundle of the slim runtime with three models."""

    def make(folder: Path) -> None:
        source = HERE / "serving_models.py"
        models = [("mlp", exported("mlp", cpu_isa="avx2"))]
        models += [
            (name, cached_export(backend_venv, source, function=name, cpu_isa="avx2"))
            for name in ("looking", "sharing")
        ]
        request = BuildRequest(
            backend=Backend.CPU,
            output=folder / "bundle",
            models=tuple(models),
            portable=True,
            runtime="slim",
            venv=backend_venv,
        )
        build(request, Reporter())

    return once(tmp_path_factory, "served", make) / "bundle"
