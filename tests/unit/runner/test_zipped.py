"""The runner's reader of ZIP archives, against Python's own, and against what no writer makes."""

from __future__ import annotations

import io
import struct
import zipfile

import pytest
from aotrun.formats.zipped import Archive, BadZipError
from hypothesis import given
from hypothesis import strategies as st

NAMES = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1, max_size=12)
CONTENTS = st.dictionaries(NAMES, st.binary(max_size=300) | st.binary(max_size=3).map(lambda part: part * 40_000))


class Pipe(io.RawIOBase):
    """What can only be written to: sizes then follow the contents."""

    def __init__(self) -> None:
        self.content = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        self.content += bytes(data)  # type: ignore[call-overload]
        return len(bytes(data))  # type: ignore[call-overload]


def contents(archive: bytes) -> list[tuple[str, bytes]]:
    reader = Archive(io.BytesIO(archive))
    return [(member.name, reader.read(member)) for member in reader.members]


def zipped(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return stream.getvalue()


@given(CONTENTS, st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]), st.booleans(), st.binary(max_size=40))
def test_reads_what_zipfile_writes(members: dict[str, bytes], method: int, wide: bool, before: bytes) -> None:
    stream = io.BytesIO()
    stream.write(before)
    with zipfile.ZipFile(stream, "a", method) as archive:
        for name, content in members.items():
            with archive.open(zipfile.ZipInfo(name), "w", force_zip64=wide) as member:
                member.write(content)
        archive.comment = b"PK\5 and more"
    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    expected = [(info.filename, members[info.filename]) for info in archive.infolist()]
    assert contents(stream.getvalue()) == contents(bytes(pipe.content)) == expected


def test_more_than_65535_members_are_counted_in_64_bits() -> None:
    members = {f"{number}": b"" for number in range(65_540)}
    assert len(contents(zipped(members, zipfile.ZIP_STORED))) == 65_540


@given(st.integers(1, 7), st.integers(1, 400))
def test_pieces_of_any_size(size: int, length: int) -> None:
    content = bytes(range(200)) * 2
    reader = Archive(io.BytesIO(zipped({"x": content[:length]})))
    stream = reader.open(reader.members[0])
    pieces = [stream.read(size) for _ in range(-(-length // size))]
    assert b"".join(pieces) == content[:length]
    assert stream.read(size) == b""


WHOLE = zipped({"one": b"first" * 20, "two": b"second"}) + zipped({"three": b"3"}, zipfile.ZIP_STORED)


@given(st.integers(0, len(WHOLE) - 1), st.binary(min_size=1, max_size=8))
def test_any_change_is_read_or_refused(at: int, patch: bytes) -> None:
    for changed in (WHOLE[:at], WHOLE[:at] + patch + WHOLE[at + len(patch) :], WHOLE[:at] + patch + WHOLE[at:]):
        try:
            contents(changed)
        except BadZipError as error:
            assert str(error)  # noqa: PT017  nothing else may be raised


@given(st.binary(max_size=200))
def test_anything_before_an_end(content: bytes) -> None:
    with_end = content + b"PK\5\6" + struct.pack("<4H2LH", 0, 0, 1, 1, len(content), 0, 0)
    for candidate in (content, with_end):
        try:
            contents(candidate)
        except BadZipError as error:
            assert str(error)  # noqa: PT017


def refused(archive: bytes, word: str) -> None:
    with pytest.raises(BadZipError, match=word):
        contents(archive)


def test_hostile_members() -> None:
    archive = bytearray(zipped({"x": bytes(2000)}))
    entry, local = archive.index(b"PK\1\2"), 0
    for at, layout, value, word in [
        (entry + 20, "<L", 1 << 30, "what follows"),  # packed size
        (entry + 42, "<L", 1 << 30, "outside the file"),  # offset
        (entry + 42, "<L", 0xFFFFFFFF, "missing"),  # offset that is said to be elsewhere
        (entry + 24, "<L", 3000, "cut off"),  # size
        (entry + 24, "<L", 1999, "CRC"),
        (entry + 10, "<H", 14, "nor deflated"),  # LZMA
        (entry + 8, "<H", 1, "nor deflated"),  # encrypted
        (entry + 28, "<H", 9999, "cut off"),  # length of the name
        (local + 28, "<H", 9999, "what follows"),  # length of the extra fields
        (local + 30, "<B", ord("y"), "another name"),
        (local, "<B", 0, "a header is missing"),
    ]:
        changed = bytearray(archive)
        struct.pack_into(layout, changed, at, value)
        refused(bytes(changed), word)


def test_members_that_share_bytes() -> None:
    archive = zipped({"x": bytes(2000)})
    entry = archive.index(b"PK\1\2")
    end = archive.index(b"PK\5\6")
    twice = archive[entry:end] * 2
    refused(archive[:entry] + twice + b"PK\5\6" + struct.pack("<4H2LH", 0, 0, 2, 2, len(twice), entry, 0), "follows")


def test_offsets_of_64_bits_that_no_file_has() -> None:
    archive = bytearray(zipped({"x": b"content"}))
    entry = archive.index(b"PK\1\2")
    end = archive.index(b"PK\5\6")
    extra = struct.pack("<HHQ", 1, 8, 1 << 63)
    struct.pack_into("<H", archive, entry + 30, len(extra))
    struct.pack_into("<L", archive, entry + 42, 0xFFFFFFFF)
    directory = bytes(archive[entry:end]) + extra
    refused(
        archive[:entry] + directory + b"PK\5\6" + struct.pack("<4H2LH", 0, 0, 1, 1, len(directory), entry, 0), "outside"
    )
