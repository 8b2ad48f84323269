"""Putting a bundle in place: what is refused, what is left after failures, who may read it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from aotpack import output_folder, stage
from aotpack.errors import UsageError
from aotpack.plan import Entry, Part, Text


def fill(folder: Path, text: str) -> None:
    entry = Entry("deep/down/file", Part.DATA, "a test", Text(text.encode()))
    stage.write_entries(folder, [entry], lambda _done: None)
    (folder / "bundle.json").write_text("{}")


def put(output: Path, text: str) -> None:
    with output_folder.staging(output) as folder:
        fill(folder, text)


@pytest.mark.parametrize("inside", [".", "deep/down"])
def test_the_folder_that_the_user_stands_in_is_not_replaced(
    inside: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path / "dist", "older")
    monkeypatch.chdir(tmp_path / "dist" / inside)
    with pytest.raises(UsageError, match="is the current folder, or holds it"):
        output_folder.check(tmp_path / "dist", force=True)


def test_a_bundle_takes_the_place_of_an_older_one(tmp_path: Path) -> None:
    put(tmp_path / "dist", "older")
    put(tmp_path / "dist", "newer")
    assert (tmp_path / "dist/deep/down/file").read_text() == "newer"
    assert [path.name for path in tmp_path.iterdir()] == ["dist"]


def test_a_failure_leaves_the_older_bundle_and_nothing_else(tmp_path: Path) -> None:
    put(tmp_path / "dist", "older")

    def interrupted() -> None:
        with output_folder.staging(tmp_path / "dist") as folder:
            fill(folder, "newer")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert (tmp_path / "dist/deep/down/file").read_text() == "older"
    assert [path.name for path in tmp_path.iterdir()] == ["dist"]


def test_without_an_exchange_in_one_step_a_failure_brings_the_older_bundle_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path / "dist", "older")
    monkeypatch.setattr(output_folder, "_exchange", lambda *_: False)
    put(tmp_path / "dist", "newer")
    assert (tmp_path / "dist/deep/down/file").read_text() == "newer"

    rename = Path.rename

    def fail(path: Path, target: Path) -> Path:
        if target == tmp_path / "dist" and ".old" not in path.name:
            raise OSError(5, "Input/output error")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(OSError, match="Input/output"):
        put(tmp_path / "dist", "newest")
    assert (tmp_path / "dist/deep/down/file").read_text() == "newer"
    assert [path.name for path in tmp_path.iterdir()] == ["dist"]


def test_every_user_may_read_a_bundle_whatever_the_builders_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        put(tmp_path / "dist", "text")
        assert os.umask(0o077) == 0o077
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in [tmp_path / "dist", *(tmp_path / "dist").rglob("*")]}
    assert modes == {"dist": 0o755, "deep": 0o755, "down": 0o755, "file": 0o644, "bundle.json": 0o644}
