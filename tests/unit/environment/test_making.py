from __future__ import annotations

import fcntl
from pathlib import Path

import pytest

from aotpack.backend import Backend
from aotpack.environment import making
from aotpack.environment.making import plan_environment, satisfied
from aotpack.errors import TorchMismatchError, UsageError
from aotpack.libraries.recipe import Recipe, TorchSource
from tests.support.doubles.torch_trees import make_torch_venv, make_venv

CPU_INDEX = "https://download.pytorch.org/whl/cpu"


def recipe(backend: Backend = Backend.CPU, index: str | None = CPU_INDEX, version: str = "2.13.0") -> Recipe:
    source = TorchSource(version=version, index=index, packages=("numpy>=1.26",))
    return Recipe(schema=1, backend=backend, layout="flat", torch=source, roots=("libtorch_cpu.so",))


def install_pip(site_packages: Path) -> None:
    add_distribution(site_packages, "pip", "25.0")


def add_distribution(site_packages: Path, name: str, version: str) -> None:
    folder = site_packages / f"{name}-{version}.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


def test_the_users_own_sources_are_asked_before_the_recipes_index(tmp_path: Path) -> None:
    plan = plan_environment(recipe(), tmp_path / "venv")
    assert plan.create is not None
    assert plan.create[1:] == ("-I", "-m", "venv", str(tmp_path / "venv"))
    own, index = plan.installs
    assert own[-2:] == index[-2:] == ("torch==2.13.0+cpu", "numpy>=1.26")
    assert "--extra-index-url" not in own
    assert index[index.index("--extra-index-url") + 1] == CPU_INDEX
    assert own[0] == str(tmp_path / "venv/bin/python3")


@pytest.mark.parametrize(
    ("index", "version", "requirement", "attempts"),
    [
        (None, "2.15.0", "torch===2.15.0", 1),
        (None, "2.15.0+cu132", "torch==2.15.0+cu132", 1),
        ("https://download.pytorch.org/whl/cu130", "2.12.0", "torch==2.12.0+cu130", 2),
        ("https://download.pytorch.org/whl/rocm7.0/", "2.9.1", "torch==2.9.1+rocm7.0", 2),
        ("https://download.pytorch.org/whl/rocm7.0", "2.9.1+rocm7.0.2.lw", "torch==2.9.1+rocm7.0.2.lw", 2),
        ("https://mirror.example/simple", "2.9.1", "torch==2.9.1", 1),
    ],
)
def test_which_wheel_is_asked_of_whom(
    tmp_path: Path, index: str | None, version: str, requirement: str, attempts: int
) -> None:
    plan = plan_environment(recipe(Backend.CUDA, index), tmp_path / "venv", version=version)
    assert len(plan.installs) == attempts
    assert all(requirement in command for command in plan.installs)


def test_python_option_makes_the_environment(tmp_path: Path) -> None:
    plan = plan_environment(recipe(), tmp_path / "venv", python=Path("/opt/python3.12"))
    assert plan.create is not None
    assert plan.create[0] == "/opt/python3.12"


def test_an_environment_that_is_there_is_kept(tmp_path: Path) -> None:
    site_packages = make_venv(tmp_path / "venv")
    create = plan_environment(recipe(), tmp_path / "venv").create
    assert create is not None
    assert create[-1] == "ensurepip"
    install_pip(site_packages)
    assert plan_environment(recipe(), tmp_path / "venv").create is None


def test_a_foreign_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "venv").mkdir()
    assert plan_environment(recipe(), tmp_path / "venv").create is not None
    (tmp_path / "venv/thesis.tex").touch()
    with pytest.raises(UsageError, match="is not a Python environment"):
        plan_environment(recipe(), tmp_path / "venv")


def test_an_environment_without_its_interpreter_is_refused(tmp_path: Path) -> None:
    make_venv(tmp_path / "venv")
    (tmp_path / "venv/bin/python3").unlink()
    with pytest.raises(UsageError, match="interpreter is missing"):
        plan_environment(recipe(), tmp_path / "venv")


def test_versions_are_checked(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'newest' is not a version"):
        plan_environment(recipe(), tmp_path / "venv", version="newest")
    with pytest.raises(TorchMismatchError, match=r"2\.8\.1 is older than 2\.9"):
        plan_environment(recipe(), tmp_path / "venv", version="2.8.1")


def test_satisfied(tmp_path: Path) -> None:
    venv = tmp_path / "venv"
    assert satisfied(recipe(), venv) is None
    root = make_torch_venv(venv, "cpu", "2.13.0+cpu")
    assert satisfied(recipe(), venv) is None, "numpy is missing"
    add_distribution(root.parent, "numpy", "1.20.0")
    assert satisfied(recipe(), venv) is None, "numpy is too old"
    add_distribution(root.parent, "numpy", "2.0.0")
    (root.parent / "numpy-1.20.0.dist-info/METADATA").unlink()
    (root.parent / "numpy-1.20.0.dist-info").rmdir()
    info = satisfied(recipe(), venv)
    assert info is not None
    assert info.version == "2.13.0+cpu"
    assert satisfied(recipe(), venv, version="2.13.0+cpu")
    assert satisfied(recipe(), venv, version="2.13.0+cu130") is None
    assert satisfied(recipe(), venv, version="2.12.0") is None
    assert satisfied(recipe(Backend.CUDA, None), venv) is None, "another variant"
    (root / "lib/libtorch_cpu.so").unlink()
    assert satisfied(recipe(), venv) is None, "broken"


@pytest.mark.parametrize("when", ["before it is opened", "before it is locked"])
def test_an_environment_that_another_init_has_just_ended_is_not_emptied(
    when: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marker = tmp_path / making._UNFINISHED
    (tmp_path / "torch").touch()
    if when == "before it is locked":
        marker.touch()
        monkeypatch.setattr(fcntl, "flock", lambda _descriptor, _operation: marker.unlink())
    with pytest.raises(UsageError, match="by another aotpack init"), making._marked_unfinished(tmp_path):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["torch"]
