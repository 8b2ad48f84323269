"""Whether a bundle is up to date, by what the cache remembers."""

from __future__ import annotations

from pathlib import Path

import pytest

from aotpack.building import uptodate
from aotpack.errors import BuildToolError
from aotpack.tools import cache


@pytest.fixture
def output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "dist").mkdir()
    (tmp_path / "dist" / "file").write_text("made")
    (tmp_path / "source").write_text("given")
    return tmp_path / "dist"


def test_nothing_changed_is_current(output: Path) -> None:
    assert not uptodate.is_current(output, "request")
    uptodate.remember(output, "request", [output.parent / "source"])
    assert uptodate.is_current(output, "request")
    assert not uptodate.is_current(output, "another request")


@pytest.mark.parametrize("changed", ["source", "dist/file", "dist/added"])
def test_a_changed_file_is_not(output: Path, changed: str) -> None:
    uptodate.remember(output, "request", [output.parent / "source"])
    (output.parent / changed).write_text("something else")
    assert not uptodate.is_current(output, "request")


def test_a_cache_that_cannot_be_written_fails_no_build(output: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file, where a folder belongs")
    uptodate.remember(output, "request", [])
    assert not uptodate.is_current(output, "request")


def test_a_user_without_a_home_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(BuildToolError) as error:
        cache.cache_home()
    assert "XDG_CACHE_HOME" in error.value.fix


def test_a_signature_changes_nothing(output: Path) -> None:
    uptodate.remember(output, "request", [output.parent / "source"])
    (output / "bundle.sig").write_text("a signature")
    assert uptodate.is_current(output, "request")
    (output / "deep").mkdir()
    (output / "deep" / "bundle.sig").write_text("nobody's")
    assert not uptodate.is_current(output, "request")
