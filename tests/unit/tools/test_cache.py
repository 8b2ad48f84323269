"""What is kept between builds: made once, never believed."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from aotpack.building import uptodate
from aotpack.errors import BuildToolError
from aotpack.tools import cache
from aotpack.tools.scratch import scratch_folder
from tests.support.machines import isolation


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def get(made: list[int]) -> Path:
    """The folder of one key; `made` grows when it had to be made."""

    def fill(folder: Path) -> None:
        made.append(1)
        (folder / "lib").mkdir()
        (folder / "lib/code.so").write_bytes(b"code" * 100)
        (folder / "lib/code.so").chmod(0o755)
        (folder / "text").write_text("text")

    return cache.cached_folder("kind", "key", fill)


def is_right(folder: Path) -> bool:
    files = sorted(path for path in folder.rglob("*") if not path.is_dir())
    return (
        [path.name for path in files] == ["code.so", "text"]
        and files[0].read_bytes() == b"code" * 100
        and os.access(files[0], os.X_OK)
        and not any(path.is_symlink() for path in files)
    )


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[7] ^= 1
    path.write_bytes(content)


def link(path: Path) -> None:
    path.rename(path.parent.parent / "elsewhere")
    path.symlink_to("../elsewhere")


def fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


WRONGS: dict[str, Callable[[Path], object]] = {
    "a flipped bit": lambda made: flip(made / "lib/code.so"),
    "truncated": lambda made: os.truncate(made / "lib/code.so", 5),
    "empty": lambda made: os.truncate(made / "text", 0),
    "longer": lambda made: (made / "text").write_text("text and more"),
    "missing": lambda made: (made / "lib/code.so").unlink(),
    "all missing": lambda made: [path.unlink() for path in made.rglob("*") if path.is_file()],
    "one more": lambda made: (made / "lib/more.so").write_bytes(b"code"),
    "a link in its place": lambda made: link(made / "lib/code.so"),
    "a folder by a link": lambda made: (made / "more").symlink_to("lib"),
    "a FIFO": lambda made: fifo(made / "text"),
    "a folder": lambda made: folder(made / "text"),
    "not executable": lambda made: (made / "lib/code.so").chmod(0o644),
    "renamed": lambda made: (made / "text").rename(made / "txet"),
    "no hash": lambda made: (made.parent / "sha256").unlink(),
    "a broken hash": lambda made: (made.parent / "sha256").write_bytes(b"\xff\0"),
    "a FIFO for a hash": lambda made: fifo(made.parent / "sha256"),
    "a file for all": lambda made: (made.parent.rename(made.parent.parent / "x"), made.parent.write_text("")),
    "a loop for all": lambda made: (made.parent.rename(made.parent.parent / "x"), made.parent.symlink_to("key")),
}


@pytest.mark.parametrize("wrong", WRONGS)
@pytest.mark.timeout(10)
@pytest.mark.usefixtures("home")
def test_what_is_not_as_it_was_made_is_made_anew(wrong: str) -> None:
    made: list[int] = []
    contents = get(made)
    assert get(made) == contents
    assert len(made) == 1
    WRONGS[wrong](contents)
    assert is_right(get(made))
    assert len(made) == 2
    assert is_right(get(made))
    assert len(made) == 2
    assert not list(contents.parent.parent.glob(".making-*"))


def test_a_failure_leaves_nothing(home: Path) -> None:
    def fill(folder: Path) -> None:
        (folder / "half").write_text("")
        raise BuildToolError("w", meaning="m", fix="f")

    with pytest.raises(BuildToolError, match="w"):
        cache.cached_folder("kind", "key", fill)
    assert [path for path in home.rglob("*") if path.is_file()] == []


def test_two_that_make_the_same_agree(home: Path) -> None:
    made: list[int] = []

    def fill(folder: Path) -> None:
        get(made)  # another process in the meantime
        (folder / "lib").mkdir()
        (folder / "lib/code.so").write_bytes(b"code" * 100)
        (folder / "lib/code.so").chmod(0o755)
        (folder / "text").write_text("text")

    assert is_right(cache.cached_folder("kind", "key", fill))
    assert made == [1]
    assert [path.name for path in (home / "aotpack/parts/kind").iterdir()] == ["key"]


def test_a_cache_that_can_only_be_read_serves_and_says_when_it_cannot(home: Path) -> None:
    made: list[int] = []
    get(made)
    # As another user: root may write everywhere.
    script = (
        "import os, sys; from pathlib import Path; from aotpack.tools import cache\n"
        "if os.getuid() == 0: os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "for key in ('key', 'other'):\n"
        "    try: print(cache.cached_folder('kind', key, lambda folder: None))\n"
        "    except Exception as error: print(type(error).__name__, error.what)\n"
    )
    for path in [home, *home.rglob("*")]:
        path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
    toolchain = Path(cache.__file__).parents[2]
    if os.getuid() == 0:
        isolation.need_open_root()
    for parent in home.parents:
        if Path(tempfile.gettempdir()) in parent.parents:  # what pytest made; nothing of this machine's
            parent.chmod(parent.stat().st_mode | 0o111)
    command = [sys.executable, "-c", script]
    environment = {**os.environ, "PYTHONPATH": str(toolchain)}
    (home / "aotpack/parts/kind").chmod(0o555)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    kind = home / "aotpack/parts/kind"
    assert done.stdout.splitlines() == [
        str(kind / "key/contents"),
        f"BuildToolError {kind} cannot be written: Permission denied",
    ]


# ---- scratch folders ---------------------------------------------------------------------------------------------


def test_a_killed_process_leaves_a_folder_and_the_next_one_removes_it(tmp_path: Path) -> None:
    script = (
        "import os, sys; from pathlib import Path; from aotpack.tools.scratch import scratch_folder\n"
        "with scratch_folder(Path(sys.argv[1]), '.m.'): os.kill(os.getpid(), 9)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(cache.__file__).parents[2])}
    subprocess.run([sys.executable, "-c", script, tmp_path], env=environment, check=False)
    (left,) = tmp_path.iterdir()
    (tmp_path / ".m.notes").mkdir()
    (tmp_path / ".m.abcdefgh").symlink_to(".m.notes")
    with scratch_folder(tmp_path, ".m.") as first, scratch_folder(tmp_path, ".m.") as second:
        assert first != second
        assert first.is_dir()
        assert not left.exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == [".m.abcdefgh", ".m.notes"]


# ---- the memory of builds ----------------------------------------------------------------------------------------


@pytest.mark.usefixtures("home")
def test_a_damaged_memory_of_a_build_is_none(tmp_path: Path) -> None:
    (tmp_path / "dist").mkdir()
    (tmp_path / "dist/file").write_text("made")
    uptodate.remember(tmp_path / "dist", "request", [])
    (record,) = (tmp_path / "cache/aotpack/builds").iterdir()
    whole = record.read_bytes()
    assert uptodate.is_current(tmp_path / "dist", "request")
    for at in range(0, len(whole), max(1, len(whole) // 200)):
        record.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        assert not uptodate.is_current(tmp_path / "dist", "request")
        record.write_bytes(whole[:at])
        assert not uptodate.is_current(tmp_path / "dist", "request")
    record.write_bytes(whole)
    assert uptodate.is_current(tmp_path / "dist", "request")


def test_what_the_disk_refuses_is_not_taken_for_another_builder(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_made: Path, _place: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "rename", full)
    with pytest.raises(OSError, match="No space left"):
        get([])
