"""A disk that answers with EIO: every command says so in three lines, and nothing that was there is lost."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from aotpack.verifying.static import check_static
from tests.support.faults import names_in
from tests.support.packages.exporting import SUPPORT

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("broken") / "broken_disk.so"
    flags = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    subprocess.run(["gcc", *flags, SUPPORT / "broken_disk.c", "-o", made, "-ldl"], check=True)
    return made


@pytest.fixture
def run(library: Path, tmp_path: Path) -> Run:
    """`run(module, *arguments, call=..., below=...)`: a command of ours, on a disk that fails where it is told to."""

    def run(module: str, *arguments: str | Path, call: str = "", below: Path = tmp_path) -> object:
        broken = {"LD_PRELOAD": str(library), "BROKEN_BELOW": str(below), "BROKEN_CALL": call}
        # Nothing is to be added to the bundle that the runner is taken from.
        command = [sys.executable, "-B", "-m", module, *map(str, arguments)]
        environment = {**os.environ, **broken, "PYTHONPATH": str(tmp_path / "dist/bundle/runner")}
        return subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)

    return run


def refused(done: subprocess.CompletedProcess[str], *codes: int) -> None:
    assert done.returncode in codes, done.stdout + done.stderr
    assert "input/output error" in done.stderr.lower()
    assert "Traceback" not in done.stderr
    assert "defect" not in done.stderr


def test_every_command_says_so(run: Run, tmp_path: Path, backend_venv: Path, exported: Callable[..., Path]) -> None:
    package = tmp_path / "mlp.pt2"
    package.write_bytes(exported("mlp").read_bytes())
    bundle = tmp_path / "dist/bundle"
    build = ("build", "--model", package, "--output", bundle, "--venv", backend_venv, "--runtime", "slim")
    made = run("aotpack", *build)
    assert made.returncode == 0, made.stderr
    assert run("aotrun", "check", "--model", "mlp").returncode == 0

    refused(run("aotpack", *build, "--force", call="write", below=tmp_path / "dist"), 1)
    refused(run("aotpack", *build, "--force", call="read", below=package), 1, 6)
    refused(run("aotpack", "inspect", package, call="read", below=package), 1, 6)
    refused(run("aotpack", "verify", bundle, call="read", below=bundle / "models"), 1, 6)
    refused(run("aotrun", "info", call="read", below=bundle / "bundle.json"), 1, 6)
    refused(run("aotrun", "infer", "--model", "mlp", "--input", package, call="read", below=package), 1, 2)

    assert names_in(tmp_path / "dist") == ["bundle"]
    assert check_static(bundle).problems == ()
