"""Which files of the user's an export is said to follow from."""

from __future__ import annotations

import importlib.machinery
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from aotpack.exporting.worker.reading import _OTHERS, ALL, FOLDER, Watch, listing, values


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "weights.safetensors"
    path.write_bytes(b"1")
    return path


def test_what_is_opened_counts(weights: Path) -> None:
    watch = Watch()
    weights.read_bytes()
    files = watch.stop()["files"]
    assert str(weights) in files
    assert not [file for file in files if file.startswith(f"{sys.prefix}/lib/")]


def test_what_safetensors_opens_counts(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Played by a module whose class opens nothing that Python could hear of."""

    class SafeOpen:
        """Of the library."""

        def __init__(self, filename: object, framework: str) -> None:
            self.filename, self.framework = filename, framework

    module = ModuleType("safetensors")
    module.safe_open = SafeOpen  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "safetensors", module)
    watch = Watch()
    opened = module.safe_open(weights, framework="pt")
    assert (opened.filename, opened.framework) == (weights, "pt")
    assert isinstance(opened, module.safe_open)
    assert str(weights) in watch.stop()["files"]


def test_what_is_looked_for_in_vain_counts(tmp_path: Path) -> None:
    watch = Watch()
    assert not (tmp_path / "better.bin").exists()
    with pytest.raises(FileNotFoundError):
        (tmp_path / "best.bin").read_bytes()
    assert tmp_path.is_dir()
    read = watch.stop()
    assert {file for file in read["files"] if file.startswith(str(tmp_path))} == {
        str(tmp_path / "better.bin"),
        str(tmp_path / "best.bin"),
    }
    assert FOLDER not in read["settings"]
    assert os.stat in os.supports_follow_symlinks


def test_folders_that_are_listed_count(weights: Path) -> None:
    """Those in which Python looks for modules do not, nor those that are gone."""
    folder = weights.parent
    (folder / "other").mkdir()
    (folder / "modules").mkdir()
    watch = Watch()
    assert list(folder.glob("*.safetensors")) == [weights]
    shutil.rmtree(folder / "other")
    importlib.machinery.FileFinder(str(folder / "modules"), (importlib.machinery.SourceFileLoader, [".py"])).find_spec(
        "absent"
    )
    folders = watch.stop()["folders"]
    before = folders.pop(str(folder))
    assert not [each for each in folders if each.startswith(str(folder))]
    weights.write_bytes(b"2")
    (folder / "__pycache__").mkdir()
    (folder / "other").mkdir()
    (folder / "modules" / "more").mkdir()
    assert listing(str(folder)) == before
    (folder / "more.safetensors").touch()
    assert listing(str(folder)) != before
    assert listing(str(folder / "absent")) == ""


def test_a_file_that_is_only_looked_for_counts(weights: Path) -> None:
    watch = Watch()
    assert weights.exists()
    assert not weights.with_name("better.safetensors").exists()
    assert weights.parent.is_dir()
    files = watch.stop()["files"]
    assert {str(weights), str(weights.with_name("better.safetensors"))} <= set(files)
    assert str(weights.parent) not in files


def test_variables_that_are_asked_for_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINE", "1")
    monkeypatch.delenv("NOT_SET", raising=False)
    watch = Watch()
    assert os.environ["MINE"] == os.getenv("MINE") == "1"
    assert "NOT_SET" not in os.environ
    os.environ["SET_HERE"] = "2"
    settings = watch.stop()["settings"]
    assert settings == ["MINE", "NOT_SET"]
    assert os.environ.pop("SET_HERE") == "2"
    assert type(os.environ._data) is dict  # type: ignore[attr-defined]
    here = values(settings, os.environb, "/")
    assert (here["MINE"] != "", here["NOT_SET"]) == (True, "")
    monkeypatch.setenv("NOT_SET", "")
    assert values(settings, os.environb, "/")["NOT_SET"] != ""


def test_a_copy_of_the_environment_is_of_all_variables_but_the_sessions() -> None:
    watch = Watch()
    os.environ.copy()
    assert ALL in watch.stop()["settings"]
    first = values([ALL], {b"A": b"1", b"OLDPWD": b"/a"}, "/")
    assert first == values([ALL], {b"OLDPWD": b"/b", b"A": b"1"}, "/")
    assert first != values([ALL], {b"A": b"1", b"B": b""}, "/")


@pytest.mark.parametrize("asks", [Path.cwd, lambda: Path("weights.bin").exists(), os.listdir])
def test_the_current_folder_counts_where_it_is_asked_for(asks: Callable[[], object]) -> None:
    watch = Watch()
    asks()
    settings = watch.stop()["settings"]
    assert FOLDER in settings
    assert values([FOLDER], {}, "/a") != values([FOLDER], {}, "/b")


@pytest.mark.parametrize("file", ["/opt/ml/code/model.py", "/usr/src/app/model.py", f"{sys.prefix}/src/mine/net.py"])
def test_where_people_have_their_own(file: str) -> None:
    assert not file.startswith(_OTHERS)
