"""Detection against interpreters that run and a torch that is installed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from aotpack.backend import Backend
from aotpack.environment.python import ask_python
from aotpack.environment.search import detect, find_torch
from aotpack.errors import TorchMismatchError
from tests.support.doubles.torch_trees import fill_torch, version_py


@pytest.fixture
def real_venv(tmp_path: Path) -> Path:
    """A venv without pip; cheap, and its interpreter runs."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "real"], check=True)
    return tmp_path / "real"


def site_packages_of(venv: Path) -> Path:
    return next(venv.glob("lib/python3.*/site-packages"))


def test_python3_on_path_is_the_last_place(tmp_path: Path, real_venv: Path) -> None:
    fill_torch(site_packages_of(real_venv) / "torch", "cpu", version_py("2.13.0+cpu"))
    info = find_torch(Backend.CPU, env={"PATH": str(real_venv / "bin")}, cwd=tmp_path)
    assert info.source == "python3 on PATH"
    assert info.python == real_venv / "bin/python3"
    assert info.python_version == f"{sys.version_info.major}.{sys.version_info.minor}"


def test_python3_on_path_without_torch(tmp_path: Path, real_venv: Path) -> None:
    with pytest.raises(TorchMismatchError, match="no torch found for backend cpu"):
        find_torch(Backend.CPU, env={"PATH": str(real_venv / "bin")}, cwd=tmp_path)


def test_system_site_packages_are_searched_through_the_interpreter(tmp_path: Path) -> None:
    base = tmp_path / "base"
    subprocess.run([sys.executable, "-m", "venv", "--system-site-packages", "--without-pip", base], check=True)
    root = fill_torch(site_packages_of(base) / "torch", "cpu", version_py("2.13.0"))
    assert detect(base).root == root


def test_an_interpreter_that_does_not_answer_has_no_torch(tmp_path: Path) -> None:
    assert ask_python(Path("/bin/false")) is None
    assert ask_python(Path("/bin/true")) is None
    assert ask_python(tmp_path / "none") is None


def test_the_code_of_a_found_torch_is_never_run(tmp_path: Path, real_venv: Path) -> None:
    root = fill_torch(site_packages_of(real_venv) / "torch", "cpu", version_py("2.13.0+cpu"))
    (root / "__init__.py").write_text("raise SystemExit('imported')\n")
    with (root / "version.py").open("a") as file:
        file.write("open('/nonexistent/ran', 'w')\n")
    assert detect(real_venv / "bin/python3").version == "2.13.0+cpu"
    assert "torch" not in sys.modules
