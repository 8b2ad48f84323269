"""`pip install .` gives a working aotpack: from a copy that is gone afterwards, in a venv that had nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.packages.exporting import ROOT
from tests.tools.wheel import make_wheel


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The console script of a clean venv; the sources it was installed from are gone."""
    folder = tmp_path_factory.mktemp("package")
    source = folder / "source"
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listing, cwd=ROOT, capture_output=True, check=True).stdout
    for name in names.decode().split("\0"):
        if name and (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, source / name)
    venv = folder / "venv"
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    pip = [venv / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check", source]
    done = subprocess.run(pip, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    shutil.rmtree(source)
    return venv / "bin" / "aotpack"


def test_it_answers(installed: Path, tmp_path: Path) -> None:
    done = subprocess.run([installed, "--help"], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "build" in done.stdout


def test_it_carries_all_that_it_packs(
    installed: Path, tmp_path: Path, backend_venv: Path, exported: Callable[..., Path]
) -> None:
    """Bridge sources, recipes, templates and the doctor: a portable bundle needs every one of them."""
    bundle = tmp_path / "mlp"
    command = [installed, "build", "--venv", backend_venv, "--model", exported("mlp"), "--output", bundle, "--portable"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for arguments in (["verify", bundle, "--run"], ["doctor", "--list"], ["new", "--lang", "c", tmp_path / "project"]):
        done = subprocess.run([installed, *arguments], capture_output=True, text=True, check=False, cwd=tmp_path)
        assert done.returncode == 0, done.stderr


def test_it_imports_no_torch(installed: Path, tmp_path: Path) -> None:
    """Its venv has none, so whatever worked above worked without."""
    python = installed.with_name("python")
    probe = "import importlib.util, sys; sys.exit(importlib.util.find_spec('torch') is not None)"
    assert subprocess.run([python, "-c", probe], check=False, cwd=tmp_path).returncode == 0


def test_a_wheel_that_carries_compiled_parts_compiles_none_of_them(
    tmp_path: Path, backend_venv: Path, exported: Callable[..., Path]
) -> None:
    """As `make wheel` makes it, in a venv that had nothing. A cache is where what is compiled goes."""
    venv, bundle, cache = (tmp_path / name for name in ("venv", "bundle", "cache"))
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)  # ours serves
    pip = [sys.executable, "-m", "pip", "--python", venv / "bin" / "python", "install", "--quiet", "--no-compile"]
    subprocess.run([*pip, "--disable-pip-version-check", make_wheel(tmp_path)], check=True)
    environment = {**os.environ, "XDG_CACHE_HOME": str(cache)}
    command = [venv / "bin" / "aotpack", "build", "--venv", backend_venv, "--portable", "--output", bundle]
    command += ["--model", exported("mlp")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr
    assert "runtime: slim" in done.stdout
    compiled = {path.name for path in (cache / "aotpack" / "parts").iterdir()}
    assert "bridge" in compiled
    assert not compiled & {"slim", "launcher", "hash"}
    libraries = list(venv.glob("lib/python*/site-packages/aotpack/_data/compiled/*/*/*"))
    assert {path.name for path in libraries} == {
        "libaot_slim.so",
        "libaomp.so.1",
        "aotrun",
        "libaot_sha256.so",
    }
    check = [bundle / "bin" / "aotrun", "check", "--model", "mlp"]
    assert subprocess.run(check, check=False, capture_output=True).returncode == 0
