"""`aotpack.export` of a module in this process, and of a program that torch.export saved."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

import aotpack
from aotpack.package.metadata import DynamicDim
from tests.support.machines.notebook_python import command

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory, backend_python: Path) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("in_process")
    package, saved = folder / "scores.pt2", folder / "saved.pt2"
    program = f"sys.argv[1:] = [{str(package)!r}, 'avx2', {str(saved)!r}]\n{(HERE / 'in_process.py').read_text()}"
    done = subprocess.run(command(backend_python, program), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {**json.loads(done.stdout.splitlines()[-1]), "package": package, "saved": saved}


def test_the_package_is_compared_and_the_process_is_as_it_was(said: dict[str, Any]) -> None:
    assert said["compared"] > 1
    assert said["phases"][-1] == "verifying against eager PyTorch"
    assert said["notes"] == ["the module was in training mode: exported after module.eval()"]
    assert said["same"] == {
        "training": True,
        "calls": 0.0,
        "random": True,
        "template": True,
        "instructions": True,
    }
    (batch, width) = aotpack.Package(said["package"]).inputs[0].dims
    assert isinstance(batch, DynamicDim)
    assert (batch.symbol, batch.max, width) == ("batch", 64, 8)


def test_a_failure_names_the_line_of_the_cell(said: dict[str, Any]) -> None:
    kind, what, meaning, fix = said["refusal"]
    assert kind == "AotpackError"
    assert "values that only a run knows" in what
    assert "if x.sum() > 0" in meaning
    assert fix


def test_a_saved_program_keeps_its_sizes(said: dict[str, Any], backend_venv: Path, tmp_path: Path) -> None:
    # Sizes are those of the program, for whichever CPU it is compiled.
    package = aotpack.export(
        str(said["saved"]), output=tmp_path / "p.pt2", verify=True, cpu_isa="avx2", venv=backend_venv
    )
    (batch, width) = package.inputs[0].dims
    assert isinstance(batch, DynamicDim)
    assert (batch.max, width) == (64, 8)
    assert len(package.comparisons) > 1


def test_a_package_is_no_program(said: dict[str, Any], backend_venv: Path, tmp_path: Path) -> None:
    with pytest.raises(aotpack.UsageError, match="compiled already"):
        aotpack.export(str(said["package"]), output=tmp_path / "p.pt2", venv=backend_venv)
