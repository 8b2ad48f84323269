"""`aotpack init` with a real venv and a real pip, and a wheel of a few kilobytes that detection takes for a torch."""

from __future__ import annotations

import base64
import errno
import hashlib
import os
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import aotpack
from aotpack import resources
from aotpack.backend import Backend
from aotpack.environment.making import make_environment, plan_environment, satisfied
from aotpack.errors import BuildToolError, TorchMismatchError, UsageError
from aotpack.libraries.recipe import Recipe, TorchSource
from tests.support import faults
from tests.support.doubles.torch_trees import LIBRARIES, version_py

UNREACHABLE = "https://127.0.0.1:1/whl/cpu"


def make_wheel(folder: Path, version: str, files: dict[str, str]) -> None:
    dist_info = f"torch-{version}.dist-info"
    files = {
        **files,
        f"{dist_info}/METADATA": f"Metadata-Version: 2.1\nName: torch\nVersion: {version}\n",
        f"{dist_info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(
        f"{name},sha256={base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip('=')},{len(text)}\n"
        for name, text in files.items()
    )
    files[f"{dist_info}/RECORD"] = f"{record}{dist_info}/RECORD,,\n"
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / f"torch-{version}-py3-none-any.whl", "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)


def torch_files(version: str, variant: str = "cpu") -> dict[str, str]:
    libraries = {f"torch/lib/{name}": "" for name in LIBRARIES[variant]}
    return {"torch/__init__.py": "", "torch/version.py": version_py(version), **libraries}


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of wheels that is all pip may look into."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    folder = tmp_path / "wheels"
    folder.mkdir()
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_INDEX_URL", (tmp_path / "no-index").as_uri())
    monkeypatch.setenv("PIP_RETRIES", "1")
    return folder


def recipe(index: str | None = UNREACHABLE) -> Recipe:
    source = TorchSource(version="2.13.0", index=index)
    return Recipe(schema=1, backend=Backend.CPU, layout="flat", torch=source, roots=("libtorch_cpu.so",))


def test_a_wheel_at_hand_needs_no_index(tmp_path: Path, wheels: Path) -> None:
    make_wheel(wheels, "2.13.0+cpu", torch_files("2.13.0+cpu"))
    lines: list[str] = []
    info = make_environment(plan_environment(recipe(), tmp_path / "my venv"), lines.append)
    assert info.version == "2.13.0+cpu"
    assert info.site_packages is not None
    assert info.site_packages.is_relative_to(tmp_path / "my venv")
    assert any("Successfully installed torch-2.13.0+cpu" in line for line in lines)
    assert not any("127.0.0.1" in line for line in lines)


def test_an_unreachable_index_is_named_and_nothing_is_left(tmp_path: Path, wheels: Path) -> None:
    with pytest.raises(BuildToolError, match=r"index https://127\.0\.0\.1:1/whl/cpu cannot be reached") as caught:
        make_environment(plan_environment(recipe(), tmp_path / "venv"), lambda line: None)
    assert caught.value.exit_code == 4
    assert not (tmp_path / "venv").exists()


def test_a_version_that_does_not_exist(tmp_path: Path, wheels: Path) -> None:
    plan = plan_environment(recipe(index=None), tmp_path / "venv", version="2.99.0")
    with pytest.raises(BuildToolError, match=r"pip finds no torch===2\.99\.0"):
        make_environment(plan, lambda line: None)


def test_a_wheel_of_another_variant_is_found_out(tmp_path: Path, wheels: Path) -> None:
    make_wheel(wheels, "2.13.0+cpu", torch_files("2.13.0+cpu"))
    source = TorchSource(version="2.13.0+cpu")
    cuda = Recipe(schema=1, backend=Backend.CUDA, layout="flat", torch=source, roots=("libtorch_cuda.so",))
    with pytest.raises(TorchMismatchError, match="backend cuda needs a cuda torch"):
        make_environment(plan_environment(cuda, tmp_path / "venv"), lambda line: None)
    assert not (tmp_path / "venv").exists()


def test_an_environment_that_was_there_survives_a_failure(tmp_path: Path, wheels: Path) -> None:
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    with pytest.raises(BuildToolError):
        make_environment(plan_environment(recipe(), venv), lambda line: None)
    assert (venv / "bin/python3").exists()


def test_an_interpreter_that_cannot_make_environments(tmp_path: Path) -> None:
    plan = plan_environment(recipe(), tmp_path / "venv", python=Path("/bin/false"))
    with pytest.raises(BuildToolError, match=r"/bin/false -I -m venv .* failed with exit status 1"):
        make_environment(plan, lambda line: None)
    plan = plan_environment(recipe(), tmp_path / "venv", python=tmp_path / "python3")
    with pytest.raises(BuildToolError, match="cannot be run: no such file"):
        make_environment(plan, lambda line: None)


def test_the_command_line(tmp_path: Path, wheels: Path) -> None:
    def init(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "aotpack", "init", "--backend", "cpu", *words],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(Path(aotpack.__file__).parents[1])},
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )

    dry = init("--dry-run")
    assert dry.returncode == 0
    assert [line.split()[3] for line in dry.stdout.splitlines()] == ["venv", "pip", "pip"]
    assert not (tmp_path / ".venv").exists()

    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv/notes.txt").touch()
    refused = init()
    assert refused.returncode == 2
    assert refused.stderr.startswith("error: ")
    assert len(refused.stderr.splitlines()) == 3
    assert "Traceback" not in refused.stderr


def test_the_recipes_that_ship_can_be_planned(tmp_path: Path) -> None:
    from aotpack.libraries.recipe import load_recipe

    shipped = [Backend(path.stem) for path in resources.RECIPES.glob("*.toml")]
    assert Backend.CPU in shipped
    for backend in shipped:
        assert plan_environment(load_recipe(backend), tmp_path / backend.venv_name).installs


def test_a_kill_at_every_step(tmp_path: Path, wheels: Path) -> None:
    """Each init finds what the one before left, and takes it for what it is."""
    make_wheel(wheels, "2.13.0+cpu", torch_files("2.13.0+cpu"))
    venv = tmp_path / "venv"

    def work() -> None:
        assert satisfied(recipe(), venv) is None
        make_environment(plan_environment(recipe(), venv), lambda line: None)

    for step in ("creating", "installing", "installed"):
        ended = faults.run(work, step, faults.kill())
        assert (ended.status, ended.reached[-1]) == (-signal.SIGKILL, step), ended.stderr
        assert satisfied(recipe(), venv) is None
    ended = faults.run(work)
    assert (ended.status, ended.reached) == (0, ("creating", "installing", "installed")), ended.stderr
    assert satisfied(recipe(), venv) is not None
    assert not list(venv.glob(".aotpack*"))
    assert plan_environment(recipe(), venv).create is None  # it is somebody's now


def test_whoever_is_asked_to_end_leaves_nothing(tmp_path: Path, wheels: Path) -> None:
    def work() -> None:
        make_environment(plan_environment(recipe(), tmp_path / "venv"), lambda line: None)

    ended = faults.run(work, "creating", faults.fail(errno.EIO))
    assert ended.reached == ("creating",)
    assert not (tmp_path / "venv").exists()


def test_two_at_a_time_do_not_share_a_folder(tmp_path: Path, wheels: Path) -> None:
    plan = plan_environment(recipe(), tmp_path / "venv")

    def meanwhile() -> None:
        with pytest.raises(UsageError, match="is being made by another"):
            make_environment(plan, lambda line: None)
        raise OSError(errno.EIO, "and this one fails")

    ended = faults.run(lambda: make_environment(plan, lambda line: None), "creating", meanwhile)
    assert "and this one fails" in ended.stderr
    assert not (tmp_path / "venv").exists()
