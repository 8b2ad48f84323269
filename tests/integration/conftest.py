"""Fixtures of tests that build for real: the backend's environment and exported packages, cached between runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from aotpack.backend import Backend
from aotpack.environment.search import find_torch
from aotpack.exporting import driving
from tests.support.packages.exporting import EXAMPLES, ROOT, cached_export, cached_plain_export
from tests.support.sharing import once


@pytest.fixture(scope="session")
def backend_venv() -> Path:
    """The environment that `aotpack init` made."""
    venv = ROOT / ".venv"
    assert (venv / "bin" / "python").exists(), f"{venv} is missing: run `aotpack init --backend cpu` (or `make init`)"
    return venv


@pytest.fixture(scope="session")
def backend_python(backend_venv: Path) -> Path:
    """Its interpreter."""
    return driving.interpreter(find_torch(Backend.CPU, venv=backend_venv))


@pytest.fixture(scope="session")
def exported(backend_venv: Path) -> Callable[..., Path]:
    """`exported("mlp")`: the package of examples/mlp.py:model, verified against eager PyTorch.

    Keyword arguments are fields of `ExportRequest`; `function="other"` names another function of the file.
    """

    def get(name: str, **options: str | bool) -> Path:
        return cached_export(backend_venv, EXAMPLES / f"{name}.py", **options)

    return get


@pytest.fixture(scope="session")
def plain_mlp(backend_venv: Path) -> Path:
    """The package of examples/mlp.py as plain PyTorch makes it: no metadata of ours, weights inside model.so."""
    return cached_plain_export(backend_venv, EXAMPLES / "mlp.py")


@pytest.fixture(scope="session")
def portable(backend_venv: Path, exported: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A portable bundle of the MLP with the full runtime. Tests must not change it."""
    from aotpack.building.build import build
    from aotpack.building.request import BuildRequest
    from aotpack.progress.reporter import Reporter

    name = "mlp bundle"  # a space, because users have them

    def make(folder: Path) -> None:
        texts = folder / "texts"
        texts.mkdir()
        (texts / "greeting.txt").write_text("hello\n")
        (folder / "empty").touch()
        request = BuildRequest(
            backend=Backend.CPU,
            output=folder / name,
            models=(("mlp", exported("mlp")),),
            portable=True,
            runtime="full",
            assets=(("texts", texts), ("empty", folder / "empty")),
            metadata={"sample_rate": 16000, "greeting": "hello"},
            venv=backend_venv,
        )
        build(request, Reporter())

    return once(tmp_path_factory, "portable", make) / name
