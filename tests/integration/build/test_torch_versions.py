"""Export, build and run with other torches than the recipe's (make test-torch-versions).

Takes those that `TORCH_VERSIONS` names, by default one of each minor version that aotpack serves, each in an
environment `.venv-torch-VERSION`: the CPU build where pip finds one, else PyPI's own, which brings CUDA along (3 GB).
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from aotpack.backend import Backend
from aotpack.building.build import build
from aotpack.building.request import BuildRequest
from aotpack.bundle import manifest
from aotpack.elf.symbols import read_symbols
from aotpack.environment.search import find_torch
from aotpack.environment.torch import TorchInfo
from aotpack.libraries.recipe import load_recipe
from aotpack.native.slim import build_slim
from aotpack.progress.reporter import Reporter
from aotpack.runtime.slim_table import OWN_NAMES, Part, table_for
from aotpack.verifying import run, static
from tests.support.packages.exporting import EXAMPLES, ROOT, cached_export

pytestmark = [pytest.mark.torch_versions, pytest.mark.timeout(7200)]

VERSIONS = os.environ.get("TORCH_VERSIONS", "2.9.1 2.10.0 2.11.0 2.12.1 2.14.1").split()
#: A dynamic batch, convolutions, attention, every kind of input and output, sizes that follow from values, in place,
#: and an op for the proxy executor.
MODELS = ("mlp", "convnet", "transformer", "multi", "data_dependent", "inplace", "no_shim")
SLIM = ("mlp", "convnet", "transformer", "inplace")


@pytest.fixture(scope="module", params=VERSIONS)
def torch(request: pytest.FixtureRequest) -> TorchInfo:
    """The environment of one version; that of the CUDA tests serves as well."""
    version = request.param
    shared = ROOT / f".venv-cuda-{version}"
    venv = shared if shared.is_dir() else ROOT / f".venv-torch-{version}"
    for backend in ("cpu", "cuda"):
        done = subprocess.run(
            [sys.executable, "-m", "aotpack", "init", "--backend", backend, "--torch", version, "--venv", venv],
            capture_output=True,
            text=True,
            check=False,
            cwd=ROOT / "toolchain",
        )
        if done.returncode == 0:
            break
    assert done.returncode == 0, done.stderr
    found = find_torch(Backend.CPU, venv=venv)
    assert found.base_version == version
    return found


def bundle(torch: TorchInfo, output: Path, names: tuple[str, ...], runtime: str) -> Path:
    """A portable bundle of examples that the torch itself exported (and held against eager PyTorch)."""
    assert torch.python is not None
    venv = torch.python.parents[1]
    packages = tuple((name, cached_export(venv, EXAMPLES / f"{name}.py")) for name in names)
    request = BuildRequest(
        backend=Backend.CPU,
        output=output,
        models=packages,
        portable=True,
        runtime=runtime,  # type: ignore[arg-type]
        venv=venv,
    )
    build(request, Reporter())
    return output


def runs_as_eager(folder: Path, names: tuple[str, ...]) -> None:
    """Every model gives in an empty root what eager PyTorch gave when it was exported."""
    assert static.check_static(folder).problems == ()
    result = run.check_run(folder, manifest.load_bundle(folder))
    assert set(result.models) == set(names)
    for checks in result.models.values():
        (detail,) = (check["detail"] for check in checks["checks"] if check["name"] == "model")
        assert checks["ok"], checks
        assert "as recorded at export" in detail


def test_the_full_runtime_runs_what_this_torch_exports(torch: TorchInfo, tmp_path: Path) -> None:
    runs_as_eager(bundle(torch, tmp_path / "full", MODELS, "full"), MODELS)


def test_the_slim_runtime_runs_what_this_torch_exports(torch: TorchInfo, tmp_path: Path) -> None:
    runs_as_eager(bundle(torch, tmp_path / "slim", SLIM, "slim"), SLIM)


def test_every_function_of_the_slim_runtime_has_the_signature_that_this_torch_declares(torch: TorchInfo) -> None:
    """What is compiled against an older torch's headers exports what the planner's table says, all that those headers
    declare, and no symbol of libtorch."""
    made = build_slim(torch, tuple(Part))
    served = {OWN_NAMES.name_of(name) for name, function in table_for(torch).items() if function.part is not None}
    exports = {symbol.name for library in made.libraries for symbol in read_symbols(library).exports}
    assert {name for name in exports if not name.startswith("aot_slim_")} == served
    recent = find_torch(Backend.CPU, venv=ROOT / ".venv")
    assert recent.base_version == load_recipe(Backend.CPU).torch.version
    for old, new in zip(made.libraries, build_slim(recent, tuple(Part)).libraries, strict=True):
        ours, theirs = read_symbols(old), read_symbols(new)
        wanted = {symbol.name for symbol in ours.imports}
        assert wanted <= {symbol.name for symbol in theirs.imports}, old
