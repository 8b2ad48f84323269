"""Archives that no honest tool writes, and honest ones that were damaged."""

from __future__ import annotations

import io
import os
import socket
import stat
import struct
import zipfile
from pathlib import Path

import pytest

from aotpack.errors import DamagedError, UsageError
from aotpack.package.archive import open_archive, open_member


def write(path: Path, entries: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return path


def problem(path: Path) -> str:
    """What opening and reading everything complains about."""

    def read_everything() -> None:
        with open_archive(path) as archive:
            for name in archive.names:
                archive.read(name)

    with pytest.raises(DamagedError) as caught:
        read_everything()
    assert all((caught.value.what, caught.value.meaning, caught.value.fix))
    assert "\n" not in caught.value.what
    return caught.value.what


def test_reads_entries_whole_and_as_streams(tmp_path: Path) -> None:
    path = write(tmp_path / "a.pt2", {"a/one": b"1" * 100, "a/two": b""})
    with open_archive(path) as archive:
        assert archive.names == ("a/one", "a/two")
        assert archive.size("a/one") == 100
        assert archive.read("a/two") == b""
    with open_member(path, "a/one") as stream:
        assert stream.read(10) == b"1" * 10


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_seekable_view_is_the_entry_and_nothing_else(tmp_path: Path, compression: int) -> None:
    data = bytes(range(256)) * 40
    path = write(tmp_path / "a.pt2", {"before": b"x" * 77, "it": data, "after": b"y" * 77}, compression)
    with open_archive(path) as archive, archive.open_seekable("it") as stream:
        assert stream.seek(0, io.SEEK_END) == len(data)
        assert stream.read() == b""
        stream.seek(-5, io.SEEK_END)
        assert stream.read(100) == data[-5:]
        stream.seek(300)
        assert stream.read(3) == data[300:303]
        assert stream.tell() == 303


def test_a_missing_file_is_a_usage_error(tmp_path: Path) -> None:
    for path, word in ((tmp_path / "none.pt2", "no such file"), (tmp_path, "folder")):
        with pytest.raises(UsageError, match=word), open_archive(path):
            pass


@pytest.mark.parametrize("content", [b"", b"PK", b"\x7fELF" + bytes(100), b"{}"])
def test_not_a_zip(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.pt2"
    path.write_bytes(content)
    assert "not a zip archive" in problem(path)


def test_truncation_anywhere_is_noticed(tmp_path: Path) -> None:
    path = write(tmp_path / "whole.pt2", {"a/one": bytes(range(200)), "a/two": b"2" * 50})
    whole = path.read_bytes()
    for size in range(4, len(whole)):
        path.write_bytes(whole[:size])
        assert problem(path)


def test_a_flipped_byte_of_data_is_noticed(tmp_path: Path) -> None:
    path = write(tmp_path / "a.pt2", {"one": b"weights" * 20})
    content = bytearray(path.read_bytes())
    content[60] ^= 1
    path.write_bytes(content)
    assert "one" in problem(path)


@pytest.mark.parametrize("name", ["../evil", "a/../../evil", "/etc/passwd", "a//b", "a/./b", "a\\..\\b", "a/\x1b[31m"])
def test_names_that_leave_the_package(tmp_path: Path, name: str) -> None:
    assert "outside the package" in problem(write(tmp_path / "a.pt2", {name: b""}))


def test_symbolic_link(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("a/link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.pt2", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    assert "symbolic link" in problem(tmp_path / "a.pt2")


def test_two_entries_of_one_name(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.pt2", "w") as archive:
        archive.writestr("a", "1")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("a", "2")
    assert "two entries" in problem(tmp_path / "a.pt2")


def patched(path: Path, offset: int, layout: str, value: int) -> Path:
    """Change a field of the first entry of the central directory (APPNOTE 4.3.12)."""
    content = bytearray(path.read_bytes())
    struct.pack_into(layout, content, content.index(b"PK\x01\x02") + offset, value)
    path.write_bytes(content)
    return path


def test_encrypted(tmp_path: Path) -> None:
    path = patched(write(tmp_path / "a.pt2", {"a": b"1"}), 8, "<H", 1)
    assert "encrypted" in problem(path)


def test_a_local_name_that_is_no_text(tmp_path: Path) -> None:
    path = write(tmp_path / "a.pt2", {"a/\N{GREEK SMALL LETTER MU}": b"data"})
    content = path.read_bytes()
    path.write_bytes(content.replace("\N{GREEK SMALL LETTER MU}".encode(), b"\xff\xff", 1))
    assert "can't decode" in problem(path)


def test_unknown_compression(tmp_path: Path) -> None:
    path = patched(write(tmp_path / "a.pt2", {"a": b"1"}), 10, "<H", 12)
    assert "method 12" in problem(path)


def test_bomb_by_ratio(tmp_path: Path) -> None:
    path = write(tmp_path / "a.pt2", {"a": bytes(100_000_000)}, zipfile.ZIP_DEFLATED)
    assert "zip bomb" in problem(path)


def test_a_stored_entry_cannot_be_larger_than_it_is(tmp_path: Path) -> None:
    path = patched(write(tmp_path / "a.pt2", {"a": b"1"}), 24, "<I", 1_000_000)
    assert "zip bomb" in problem(path)


def test_entries_that_share_bytes(tmp_path: Path) -> None:
    path = write(tmp_path / "a.pt2", {"a": b"1" * 100, "b": b"2" * 100})
    content = bytearray(path.read_bytes())
    second = content.index(b"PK\x01\x02", content.index(b"PK\x01\x02") + 4)
    struct.pack_into("<I", content, second + 42, 20)  # the second entry's header lies inside the first entry
    path.write_bytes(content)
    assert "overlaps" in problem(path)


def test_an_entry_that_reaches_into_another_by_its_local_header(tmp_path: Path) -> None:
    """What the table of contents says fits; where the bytes begin, the header before them says."""
    for length, field in ((60, 26), (60, 28), (65535, 28)):
        path = write(tmp_path / "a.pt2", {"a": b"1" * 100, "b": b"2" * 100})
        content = bytearray(path.read_bytes())
        struct.pack_into("<H", content, field, length)
        path.write_bytes(content)
        assert "overlaps" in problem(path)


def test_an_entry_that_reaches_into_the_table_of_contents(tmp_path: Path) -> None:
    path = write(tmp_path / "a.pt2", {"a": b"1" * 100})
    content = bytearray(path.read_bytes())
    at = content.index(b"PK\x01\x02")
    struct.pack_into("<II", content, at + 20, 101, 101)
    path.write_bytes(content)
    assert "overlaps" in problem(path)


@pytest.mark.timeout(10)
def test_something_else_than_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # a socket's path is short
    os.mkfifo("fifo.pt2")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.pt2")
    Path("device.pt2").symlink_to("/dev/zero")
    for path, word in (("fifo.pt2", "FIFO"), ("socket.pt2", "socket"), ("device.pt2", "device"), (".", "folder")):
        with pytest.raises(UsageError, match=word), open_archive(Path(path)):
            pass
    Path("loop.pt2").symlink_to("loop.pt2")
    with pytest.raises(OSError, match="symbolic links"), open_archive(Path("loop.pt2")):
        pass


def test_an_entry_before_the_file_begins(tmp_path: Path) -> None:
    """The place of an entry is relative to where the table of contents says it is itself."""
    path = write(tmp_path / "a.pt2", {"a": b"1" * 100})
    content = bytearray(path.read_bytes())
    end = content.index(b"PK\x05\x06")
    struct.pack_into("<I", content, end + 16, struct.unpack_from("<I", content, end + 16)[0] + 50)
    path.write_bytes(content)
    assert "lies outside the file" in problem(path)


def test_a_huge_description_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = write(tmp_path / "a.pt2", {"a": bytes(65 * 1024 * 1024)})
    assert "bytes" in problem(path)


def test_an_entry_that_is_not_there(tmp_path: Path) -> None:
    path = write(tmp_path / "a.pt2", {"a": b""})
    with pytest.raises(DamagedError, match="there is no entry b"), open_member(path, "b"):
        pass
