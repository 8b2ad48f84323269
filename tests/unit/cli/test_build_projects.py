"""`aotpack build` without a source, and `aotpack init --example`: what is said before anything is built."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from aotpack import cli
from aotpack.api import projects
from aotpack.project.example import FILES
from aotpack.project.reading import find_project
from tests.support.doubles.torch_trees import make_torch_venv


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("AOTPACK_VENV", "LIBTORCH"):
        monkeypatch.delenv(name, raising=False)


def told(capsys: pytest.CaptureFixture[str], *words: str, code: int = 2) -> list[str]:
    with pytest.raises(SystemExit) as left:
        cli.main(words)
    assert left.value.code == code
    return capsys.readouterr().err.splitlines()


def test_nothing_to_build(capsys: pytest.CaptureFixture[str]) -> None:
    lines = told(capsys, "build")
    assert "no aotpack.toml" in lines[0]
    assert "aotpack init --example" in lines[2]


def test_a_project_without_a_bundle(capsys: pytest.CaptureFixture[str]) -> None:
    Path("aotpack.toml").write_text("[models]\na = 'm.py:a'\n")
    assert "describes no bundle" in told(capsys, "build")[0]


def test_what_the_file_says_is_not_said_twice(capsys: pytest.CaptureFixture[str]) -> None:
    Path("aotpack.toml").write_text("[models]\na = 'm.py:a'\n[bundles.a]\n")
    lines = told(capsys, "build", "--portable")
    assert lines[0] == "error: --portable without a SOURCE"
    assert "aotpack.toml" in lines[1]


def test_an_option_of_exporting_has_something_to_export(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with zipfile.ZipFile("m.pt2", "w") as archive:
        archive.writestr("m/data/aotinductor/model/model.so", "")
    lines = told(capsys, "build", "m.pt2", "--cpu-isa", "avx2")
    assert lines[0] == "error: --cpu-isa with packages alone"
    assert "aotpack build model.py:model --cpu-isa" in lines[2]


def test_an_example_overwrites_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    Path("model.py").write_text("mine")
    assert "has model.py already" in told(capsys, "init", "--example")[0]
    assert Path("model.py").read_text() == "mine"
    assert not Path("aotpack.toml").exists()


def test_whose_torch_is_said_by_somebody(capsys: pytest.CaptureFixture[str]) -> None:
    lines = told(capsys, "init")
    assert "--backend" in lines[0]
    assert "aotpack init --backend cpu" in lines[2]


def test_other_commands_take_the_environment_that_the_file_names(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("aotpack.toml").write_text("venv = 'elsewhere'\n")
    Path("m.py").touch()
    for words in (("export", "m.py:model", "-o", "m.pt2"), ("build", "m.py:model")):
        assert f"{tmp_path}/elsewhere" in told(capsys, *words, code=3)[0]
    monkeypatch.setenv("AOTPACK_VENV", "another")
    assert f"{tmp_path}/another" in told(capsys, "export", "m.py:model", "-o", "m.pt2", code=3)[0]


def test_paths_are_relative_to_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in FILES.items():
        Path(name).write_text(text)
    make_torch_venv(tmp_path / ".venv")
    (tmp_path / "deep").mkdir()
    monkeypatch.chdir(tmp_path / "deep")
    asked: list[object] = []

    def packages_of(models: object, **options: object) -> list[tuple[str, Path]]:
        asked.append((models, options["venv"], options["options"]))
        return [("classifier", Path("classifier.pt2"))]

    monkeypatch.setattr(projects, "packages_of", packages_of)
    found = find_project()
    assert found is not None
    ((request, verify),) = projects.requests_of(found)
    assert verify
    assert asked == [({"classifier": f"{tmp_path}/model.py:model"}, tmp_path / ".venv", {"verify": True})]
    assert request.output == tmp_path / "dist" / "classifier"
    assert request.assets == (("labels.txt", tmp_path / "labels.txt"),)
    assert request.venv == tmp_path / ".venv"
    monkeypatch.setenv("AOTPACK_VENV", "/elsewhere")
    ((request, _),) = projects.requests_of(found)
    assert request.venv is None


def test_models_are_compiled_for_the_gpus_of_their_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("aotpack.toml").write_text("[models]\na = 'm.py:a'\n[bundles.a]\nportable = true\narchs = ['sm_80']\n")
    asked: list[object] = []

    def packages_of(_models: object, **options: object) -> list[tuple[str, Path]]:
        asked.append(options["archs"])
        return [("a", Path("a.pt2"))]

    monkeypatch.setattr(projects, "packages_of", packages_of)
    found = find_project()
    assert found is not None
    ((request, _),) = projects.requests_of(found)
    assert asked == [request.archs] == [("sm_80",)]


@pytest.mark.parametrize(("kept", "taken"), [((), None), ((".venv",), None), ((".venv", ".venv-cuda"), ".venv-cuda")])
def test_an_environment_beside_the_file_that_does_not_serve_is_passed_over(
    kept: tuple[str, ...], taken: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where no file describes the build."""
    Path("aotpack.toml").write_text("backend = 'cuda'\n[models]\na = 'a.pt2'\n[bundles.a]\n")
    for name in kept:
        cuda = {"variant": "cuda", "version": "2.13.0+cu128", "cuda": "12.8"} if name == ".venv-cuda" else {}
        make_torch_venv(tmp_path / name, **cuda)
    monkeypatch.setattr(projects, "packages_of", lambda *_, **__: [("a", Path("a.pt2"))])
    found = find_project()
    assert found is not None
    ((request, _),) = projects.requests_of(found)
    assert request.venv == (None if taken is None else tmp_path / taken)
