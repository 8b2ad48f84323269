"""`aotpack new`: names, what is copied, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from aotpack import new_project
from aotpack.cli.new import command
from aotpack.errors import DamagedError, UsageError


@pytest.mark.parametrize(
    ("folder", "name"),
    [("my-app", "my-app"), ("My App_2", "my-app-2"), ("2nd.try", "nd-try"), ("--x--", "x"), ("été3", "t-3")],
)
def test_a_project_is_named_after_its_folder(folder: str, name: str) -> None:
    assert new_project.project_name(Path("somewhere") / folder) == name


@pytest.mark.parametrize("folder", ["123", "...", "日本", "match", "fn", "proc-macro", "std", "json", "aotrun"])
def test_a_name_that_no_language_takes_is_refused(folder: str) -> None:
    with pytest.raises(UsageError, match="does not make a project name"):
        new_project.project_name(Path(folder))


def test_the_template_name_is_replaced_as_a_program_and_as_an_identifier() -> None:
    assert new_project.rename("aot-app uses aot_app", "my-tool") == "my-tool uses my_tool"


@pytest.mark.parametrize("language", new_project.LANGUAGES)
def test_a_project_is_complete_and_bears_its_own_name(language: str, tmp_path: Path) -> None:
    folder = tmp_path / "my-tool"
    files = new_project.create(language, folder)
    assert sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file()) == sorted(files)
    names = {path.name for path in files}
    assert {"README.md", ".gitignore"} <= names
    assert any("test" in part for path in files for part in path.parts)
    for path in files:
        text = (folder / path).read_text(encoding="utf-8")
        assert "aot-app" not in text
        assert "aot_app" not in text
        assert "aot_app" not in path.as_posix()


def test_the_link_to_the_bundle_is_relative(tmp_path: Path) -> None:
    bundle = fake_bundle(tmp_path / "dist" / "mlp")
    new_project.create("c", tmp_path / "work" / "app", bundle)
    link = tmp_path / "work" / "app" / "bundle"
    assert not link.readlink().is_absolute()
    assert link.resolve() == bundle


def test_the_link_leads_to_the_bundle_from_a_folder_reached_through_a_link(tmp_path: Path) -> None:
    bundle = fake_bundle(tmp_path / "dist" / "mlp")
    (tmp_path / "disk" / "deep" / "work").mkdir(parents=True)
    (tmp_path / "work").symlink_to("disk/deep/work")
    new_project.create("c", tmp_path / "work" / "app", bundle)
    assert (tmp_path / "work" / "app" / "bundle").resolve() == bundle


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    new_project.create("rust", tmp_path / "app")
    assert (tmp_path / "app" / "Cargo.toml").is_file()


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "mine").write_text("kept")
    with pytest.raises(UsageError, match="not an empty folder"):
        new_project.create("c", tmp_path / "app")
    assert [path.name for path in (tmp_path / "app").iterdir()] == ["mine"]


@pytest.mark.parametrize("missing", ["bundle.json", "lib/libaot_bridge.so", "include/aot_bridge.h"])
def test_a_bundle_that_is_none_is_refused_and_nothing_is_left(missing: str, tmp_path: Path) -> None:
    bundle = fake_bundle(tmp_path / "dist")
    (bundle / missing).unlink()
    with pytest.raises(DamagedError, match=missing):
        new_project.create("c", tmp_path / "app", bundle)
    assert [path.name for path in tmp_path.iterdir()] == ["dist"]


def test_a_failure_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: object) -> list[Path]:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(new_project, "_write", fail)
    with pytest.raises(OSError, match="No space"):
        new_project.create("c", tmp_path / "app")
    assert not list(tmp_path.iterdir())


def test_what_a_build_leaves_in_a_template_is_not_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    consumers = tmp_path / "consumers" / "c"
    for path in ("Makefile", "build/main.o", "src/main.c", "src/__pycache__/x.pyc"):
        (consumers / path).parent.mkdir(parents=True, exist_ok=True)
        (consumers / path).touch()
    monkeypatch.setattr(new_project.resources, "TEMPLATES", tmp_path)
    assert [path.as_posix() for path in new_project.template_files("c")] == ["Makefile", "src/main.c"]


def test_the_command_says_what_to_type_next(tmp_path: Path) -> None:
    result = CliRunner().invoke(command, ["--lang", "cpp", str(tmp_path / "app")])
    assert result.exit_code == 0
    assert "cmake" in result.stderr
    assert "ln -s" in result.stderr


def fake_bundle(folder: Path) -> Path:
    for name in ("bundle.json", "lib/libaot_bridge.so", "include/aot_bridge.h"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder
