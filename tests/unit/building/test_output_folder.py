"""Putting a bundle in place: what is refused, what is left after failures, who may read it."""

from __future__ import annotations

import os
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from aotpack.building import output_folder
from aotpack.bundle import manifest, writing
from aotpack.bundle.entries import Entry, Part, Text
from aotpack.errors import UsageError
from aotpack.tools import in_place


def fill(folder: Path, text: str) -> None:
    entry = Entry("deep/down/file", Part.DATA, "a test", Text(text.encode()))
    writing.write_entries(folder, [entry], lambda _done: None)
    bundle(folder, {"deep/down/file": text})


def put(output: Path, text: str) -> None:
    with output_folder.replacing(output) as folder:
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
        with output_folder.replacing(tmp_path / "dist") as folder:
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
    monkeypatch.setattr(in_place, "exchange", lambda *_: False)
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


def bundle(output: Path, files: dict[str, str]) -> None:
    """A folder with a description that lists what is in it, sealed."""
    for name, text in files.items():
        (output / name).parent.mkdir(parents=True, exist_ok=True)
        (output / name).write_text(text)
    document = {"schema": 1, "files": [{"path": name} for name in files], "digest": ""}
    document["digest"] = manifest.digest_of(document)
    (output / "bundle.json").write_bytes(msgspec.json.encode(document))


def refusal(output: Path) -> str:
    with pytest.raises(UsageError) as caught:
        output_folder.check(output, force=False)
    output_folder.check(output, force=True)
    return caught.value.what


def test_only_what_a_sealed_description_lists_may_go(tmp_path: Path) -> None:
    output = tmp_path / "dist"
    bundle(output, {"lib/a.so": "", "models/m/model.json": ""})
    output_folder.check(output, force=False)
    (output / "runner/aotrun/__pycache__").mkdir(parents=True)
    (output / "runner/aotrun/__pycache__/cli.cpython-313.pyc").write_text("")
    output_folder.check(output, force=False)
    (output / "models/m/notes.txt").write_text("mine")
    assert refusal(output).endswith("holds beside its bundle models/m/notes.txt")
    (output / "models/m/notes.txt").unlink()
    (output / "data").symlink_to(tmp_path)  # a link to a folder is a file of somebody's as well
    assert refusal(output).endswith("holds beside its bundle data")


def test_a_folder_in_a_listed_files_place_is_somebodys(tmp_path: Path) -> None:
    bundle(tmp_path / "dist", {"lib/a.so": ""})
    (tmp_path / "dist/lib/a.so").unlink()
    (tmp_path / "dist/lib/a.so").mkdir()
    (tmp_path / "dist/lib/a.so/thesis").write_text("years of work")
    assert "lib/a.so/thesis" in refusal(tmp_path / "dist")


FOREIGN = {
    "another tool's": lambda path: path.write_text('{"name": "web", "files": [{"path": "work.txt"}]}'),
    "a list": lambda path: path.write_text('["work.txt"]'),
    "no JSON": lambda path: path.write_bytes(b"\xff\xfe"),
    "changed": lambda path: path.write_bytes(path.read_bytes().replace(b'"lib/a.so"', b'"work.txt"')),
    "nested": lambda path: path.write_text("[" * 100_000),
    "a link": lambda path: (path.rename(path.with_name("real.json")), path.symlink_to("real.json")),
    "a loop": lambda path: (path.unlink(), path.symlink_to(path.name)),
    "a FIFO": lambda path: (path.unlink(), os.mkfifo(path)),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
    "absent": lambda path: path.unlink(),
}


@pytest.mark.parametrize("case", FOREIGN)
@pytest.mark.timeout(10)
def test_a_description_that_is_not_aotpacks_gives_away_nothing(case: str, tmp_path: Path) -> None:
    output = tmp_path / "dist"
    bundle(output, {"lib/a.so": ""})
    (output / "work.txt").write_text("years of work")
    FOREIGN[case](output / "bundle.json")
    what = refusal(output)
    assert "lib/a.so" in what
    assert "work.txt" in what or "more" in what


def test_a_file_that_comes_while_a_bundle_is_built_stays(tmp_path: Path) -> None:
    bundle(tmp_path / "dist", {"lib/a.so": ""})

    def build() -> None:
        with output_folder.replacing(tmp_path / "dist") as folder:
            fill(folder, "newer")
            (tmp_path / "dist/results.csv").write_text("1,2,3")

    with pytest.raises(UsageError, match=r"results\.csv"):
        build()
    assert (tmp_path / "dist/results.csv").read_text() == "1,2,3"
    assert [path.name for path in tmp_path.iterdir()] == ["dist"]


# ---- the lock ----------------------------------------------------------------------------------------------------


def test_no_lock_stays_behind_and_one_left_by_a_kill_is_taken_over(tmp_path: Path) -> None:
    (tmp_path / ".dist.aotpack-lock").write_text("")
    for _ in range(2):
        with output_folder.exclusive(tmp_path / "dist", pytest.fail):
            assert (tmp_path / ".dist.aotpack-lock").exists()
        assert list(tmp_path.iterdir()) == []


def test_many_that_wait_for_one_lock_hold_it_one_after_another(tmp_path: Path) -> None:
    """A waiter must notice that what it waited for was removed, and that another made it anew."""
    inside: list[int] = []
    most: list[int] = []

    def hold(_number: int) -> None:
        with output_folder.exclusive(tmp_path / "dist", lambda: None):
            inside.append(1)
            most.append(len(inside))
            os.sched_yield()
            inside.pop()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(hold, range(200)))
    assert max(most) == 1
    assert len(most) == 200
    assert list(tmp_path.iterdir()) == []


SPECIAL = {
    "a FIFO": os.mkfifo,
    "a link": lambda path: path.symlink_to("victim"),
    "a folder": lambda path: path.mkdir(),
    "a socket": lambda path: socket.socket(socket.AF_UNIX).bind(str(path)),
}


@pytest.mark.parametrize("what", SPECIAL)
@pytest.mark.timeout(10)
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_something_else_in_the_locks_place_is_an_error_at_once(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # a socket's path is short
    SPECIAL[what](Path(".dist.aotpack-lock"))
    with (
        pytest.raises(UsageError, match=f"is {what}, where the lock"),
        output_folder.exclusive(tmp_path / "dist", pytest.fail),
    ):
        pytest.fail("held")
    assert [path.name for path in tmp_path.iterdir()] == [".dist.aotpack-lock"]


# ---- what killed builds left -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["m*", "[a]", "m", "m?"])
def test_only_the_own_leftovers_are_cleared_up(name: str, tmp_path: Path) -> None:
    others = [".mlp.aotpack-new-abcdefgh", ".m.aotpack-new-x.aotpack-new-abcdefgh", ".m.aotpack-new-notes", ".a"]
    for other in others:
        (tmp_path / other).mkdir()
    own = tmp_path / f".{name}.aotpack-new-12345_ab"
    own.mkdir()
    with output_folder.exclusive(tmp_path / name, pytest.fail):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(others)


def test_a_leftover_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / ".dist.aotpack-new-abcdefgh").symlink_to("precious")
    with output_folder.exclusive(tmp_path / "dist", pytest.fail):
        pass
    assert (tmp_path / "precious").is_dir()


def test_an_older_bundle_that_a_killed_build_had_moved_away_comes_back(tmp_path: Path) -> None:
    put(tmp_path / ".dist.aotpack-new-abcdefgh.old", "older")
    (tmp_path / ".dist.aotpack-new-abcdefgh").mkdir()
    with output_folder.exclusive(tmp_path / "dist", pytest.fail):
        assert (tmp_path / "dist/deep/down/file").read_text() == "older"
    assert [path.name for path in tmp_path.iterdir()] == ["dist"]


def test_our_own_signature_goes_with_the_bundle_and_no_other_file(tmp_path: Path) -> None:
    put(tmp_path / "dist", "older")
    (tmp_path / "dist" / "bundle.sig").write_text("void once the bundle is another")
    output_folder.check(tmp_path / "dist", force=False)
    (tmp_path / "dist" / "theirs.sig").write_text("made by another tool")
    with pytest.raises(UsageError, match=r"holds beside its bundle theirs\.sig"):
        output_folder.check(tmp_path / "dist", force=False)
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "bundle.sig").write_text("of what?")
    with pytest.raises(UsageError, match="is not a bundle"):
        output_folder.check(tmp_path / "empty", force=False)
