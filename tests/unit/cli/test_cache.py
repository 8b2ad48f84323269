"""`aotpack cache`: what is kept, and what is left of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from aotpack import cli
from aotpack.tools.cache import cache_home, cached_folder


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache with two kinds of parts."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for kind, key, size in (("slim", "a1", 100), ("slim", "b2", 20), ("bridge", "c3", 3)):
        cached_folder(kind, key, lambda folder, size=size: (folder / "lib.so").write_bytes(bytes(size)))  # type: ignore[misc]
    return cache_home()


def run(capsys: pytest.CaptureFixture[str], *words: str, status: int = 0) -> str:
    with pytest.raises(SystemExit) as stop:
        cli.main(["cache", *words])
    assert stop.value.code == status
    captured = capsys.readouterr()
    return captured.err if status else captured.out


def test_sizes_are_those_of_the_files(capsys: pytest.CaptureFixture[str]) -> None:
    document = json.loads(run(capsys, "size", "--json"))
    recorded = 64  # each entry's hash in hex
    assert document["sizes"] == {"bridge": 3 + recorded, "slim": 120 + 2 * recorded}
    assert document["total"] == 123 + 3 * recorded
    listed = json.loads(run(capsys, "list", "--json"))["entries"]
    assert [(Path(each["path"]).name, each["size"]) for each in listed if each["kind"] == "bridge"] == [
        ("c3", 3 + recorded)
    ]


def test_without_a_command_it_shows_the_sizes(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys) == run(capsys, "size")
    assert json.loads(run(capsys, "--json")) == json.loads(run(capsys, "size", "--json"))
    assert json.loads(run(capsys, "--json", "list")) == json.loads(run(capsys, "list", "--json"))


def test_one_kind_goes_and_the_other_stays(capsys: pytest.CaptureFixture[str], cache: Path) -> None:
    assert json.loads(run(capsys, "clean", "--kind", "slim", "--json"))["entries"] == 2
    assert [path.name for path in cache.glob("parts/*/*")] == ["c3"]
    made = cached_folder("slim", "a1", lambda folder: (folder / "again").touch())  # type: ignore[arg-type, return-value]
    assert [path.name for path in made.iterdir()] == ["again"]


def test_everything_goes(capsys: pytest.CaptureFixture[str], cache: Path) -> None:
    run(capsys, "clean")
    assert [path for path in cache.rglob("*") if not path.is_dir()] == []
    assert json.loads(run(capsys, "size", "--json"))["total"] == 0


def test_a_kind_that_is_not_there_deletes_nothing(capsys: pytest.CaptureFixture[str], cache: Path) -> None:
    told = run(capsys, "clean", "--kind", "slimm", status=2)
    assert "slimm" in told
    assert "bridge, slim" in told
    assert len(list(cache.glob("parts/*/*"))) == 3


def test_an_empty_cache_is_no_error(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/nowhere")
    assert json.loads(run(capsys, "list", "--json"))["entries"] == []
