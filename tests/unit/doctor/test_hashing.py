"""Hashing many files at a time."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path

import pytest

from aotpack_doctor.base import hashing
from aotpack_doctor.base.regular import SpecialFileError


@pytest.mark.parametrize("lanes", [1, 2])
def test_every_file_has_its_own_hash(lanes: int, tmp_path: Path) -> None:
    contents = {str(tmp_path / str(size)): bytes([size % 251]) * size for size in (0, 1, 64, (1 << 20) - 1, 3 << 20)}
    contents |= {str(tmp_path / f"small{index}"): str(index).encode() for index in range(200)}
    for path, content in contents.items():
        Path(path).write_bytes(content)
    done: list[int] = []
    found = hashing.sha256_of_all(map(hashing.Range, contents), done.append, hashing.PYTHONS._replace(lanes=lanes))
    assert found == {hashing.Range(path): hashlib.sha256(content).hexdigest() for path, content in contents.items()}
    assert sum(done) == sum(map(len, contents.values()))
    assert hashing.sha256_of(str(tmp_path / "64")) == hashlib.sha256(b"@" * 64).hexdigest()


@pytest.mark.parametrize("lanes", [1, 2])
def test_a_file_that_cannot_be_read_is_told_and_the_others_go_on(lanes: int, tmp_path: Path) -> None:
    (tmp_path / "there").write_bytes(b"x")
    gone, folder, there = (hashing.Range(str(path)) for path in (tmp_path / "gone", tmp_path, tmp_path / "there"))
    by = hashing.PYTHONS._replace(lanes=lanes)
    found = hashing.sha256_of_all([gone, folder, there], lambda _done: None, by)
    assert isinstance(found[gone], FileNotFoundError)
    assert isinstance(found[folder], SpecialFileError)
    assert found[there] == hashlib.sha256(b"x").hexdigest()


def test_what_fails_in_a_thread_is_heard_of(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")

    def progress(_done: int) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        hashing.sha256_of_all([hashing.Range(str(tmp_path / "file"))], progress)


def test_progress_is_told_by_one_thread_at_a_time(tmp_path: Path) -> None:
    for index in range(8):
        (tmp_path / str(index)).write_bytes(bytes(2 << 20))
    inside = threading.Lock()

    def progress(_done: int) -> None:
        assert inside.acquire(blocking=False)
        inside.release()

    hashing.sha256_of_all([hashing.Range(str(path)) for path in tmp_path.iterdir()], progress)


def test_nothing_to_do() -> None:
    assert hashing.sha256_of_all([], lambda _done: None) == {}


def test_a_large_file_is_checked_by_its_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hashing, "PIECE", 1000)
    path, content = tmp_path / "file", bytes(range(256)) * 10
    path.write_bytes(content)
    digests = [hashlib.sha256(content[start : start + 1000]).hexdigest() for start in (0, 1000, 2000)]
    whole = hashlib.sha256(content).hexdigest()
    expected = hashing.sealed(str(path), len(content), whole, digests)
    assert list(expected.values()) == digests
    done: list[int] = []
    assert hashing.sha256_of_all(expected, done.append) == expected
    assert sum(done) == len(content)
    assert hashing.first_difference(expected, hashing.sha256_of_all(expected, done.append)) is None
    path.write_bytes(content[:-1] + b"?")
    fault = hashing.first_difference(expected, hashing.sha256_of_all(expected, done.append))
    assert isinstance(fault, tuple)
    assert fault[0] == " of bytes 2000 to 2559"
    path.write_bytes(content[:500])  # cut short behind the back of whoever looked at its size
    fault = hashing.first_difference(expected, hashing.sha256_of_all(expected, done.append))
    assert isinstance(fault, tuple)
    assert fault[0] == " of bytes 0 to 999"


@pytest.mark.parametrize("digests", [[], ["0" * 64], ["0" * 64] * 4])
def test_pieces_that_do_not_cover_the_file_are_not_used(
    digests: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hashing, "PIECE", 1000)
    (tmp_path / "file").write_bytes(bytes(2560))
    assert hashing.sealed(str(tmp_path / "file"), 2560, "whole", digests) == {
        hashing.Range(str(tmp_path / "file")): "whole"
    }


def test_what_is_no_library_leaves_pythons_own(tmp_path: Path) -> None:
    (tmp_path / "library.so").write_bytes(b"x")
    assert hashing.fastest(str(tmp_path / "library.so")) is hashing.PYTHONS


def test_a_small_file_has_no_pieces() -> None:
    assert hashing.pieces("file", hashing.PIECE) == ()
    assert [part.size for part in hashing.pieces("file", hashing.PIECE + 1)] == [hashing.PIECE, 1]
