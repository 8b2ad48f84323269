"""Hashing many files at a time."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path

import pytest

from aotpack_doctor import hashing


def test_every_file_has_its_own_hash(tmp_path: Path) -> None:
    contents = {str(tmp_path / str(size)): bytes([size % 251]) * size for size in (0, 1, 64, (1 << 20) - 1, 3 << 20)}
    contents |= {str(tmp_path / f"small{index}"): str(index).encode() for index in range(200)}
    for path, content in contents.items():
        Path(path).write_bytes(content)
    done: list[int] = []
    found = hashing.sha256_of_all(contents, done.append)
    assert found == {path: hashlib.sha256(content).hexdigest() for path, content in contents.items()}
    assert sum(done) == sum(map(len, contents.values()))
    assert hashing.sha256_of(str(tmp_path / "64")) == hashlib.sha256(b"@" * 64).hexdigest()


def test_a_file_that_cannot_be_read_is_told_and_the_others_go_on(tmp_path: Path) -> None:
    (tmp_path / "there").write_bytes(b"x")
    found = hashing.sha256_of_all([str(tmp_path / "gone"), str(tmp_path), str(tmp_path / "there")], lambda _done: None)
    assert isinstance(found[str(tmp_path / "gone")], FileNotFoundError)
    assert isinstance(found[str(tmp_path)], IsADirectoryError)
    assert found[str(tmp_path / "there")] == hashlib.sha256(b"x").hexdigest()


def test_what_fails_in_a_thread_is_heard_of(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")

    def progress(_done: int) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        hashing.sha256_of_all([str(tmp_path / "file")], progress)


def test_progress_is_told_by_one_thread_at_a_time(tmp_path: Path) -> None:
    for index in range(8):
        (tmp_path / str(index)).write_bytes(bytes(2 << 20))
    inside = threading.Lock()

    def progress(_done: int) -> None:
        assert inside.acquire(blocking=False)
        inside.release()

    hashing.sha256_of_all([str(path) for path in tmp_path.iterdir()], progress)


def test_nothing_to_do() -> None:
    assert hashing.sha256_of_all([], lambda _done: None) == {}
