"""ZIP archives, read without zipfile: importing that takes half as long as all else from start to first output, and
with what it imports in turn it would be a third of the bytecode of a bundle's interpreter.

An archive comes from anybody: every offset and size in it is held against what is there, members that share bytes are
refused, and contents come out in pieces of the size asked for and are checked at their end.
"""

from __future__ import annotations

import os
import struct
from binascii import crc32

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, BinaryIO, List, Tuple

#: Of the end of an archive, of the same in archives with 64-bit sizes and of the pointer to that, of a member in the
#: directory, and of one before its contents. What they begin with is in PKWARE's APPNOTE, 4.3.
_END, _END_64, _POINTER_64 = struct.Struct("<4s4H2LH"), struct.Struct("<4sQ2H2L4Q"), struct.Struct("<4sLQL")
_ENTRY, _LOCAL = struct.Struct("<4s6H3L5H2L"), struct.Struct("<4s5H3L2H")
_LONGEST_COMMENT = 0xFFFF
#: A size or offset that stands among the extra fields, in 64 bits.
_ELSEWHERE = 0xFFFFFFFF
_STORED, _DEFLATED = 0, 8
#: Flags: encrypted (weakly, strongly), a patch of other contents.
_UNREADABLE = 0x61
_UTF8 = 0x800
#: Bytes to inflate, and to take of what comes out, at a time.
_PIECE, _MOST = 1 << 16, 1 << 24
#: 258 bytes come out of two bits at best.
_MOST_RATIO = 1032


class BadZipError(ValueError):
    """The archive is damaged, or packed in a way that this reader does not know."""


class Member:
    """One file in an archive, as the directory has it.

    Attributes:
        name: decoded; `raw_name` are its bytes.
        method: how its contents are packed; None where they cannot be read.
        crc: the CRC-32 of its contents.
        size: bytes of its contents.
        packed: bytes that they take in the archive.
        offset: where it begins.
        limit: where the next one begins.
    """

    def __init__(self, raw_name: bytes, fields: Tuple[Any, ...], extra: bytes) -> None:
        _, _, _, flags, method, _, _, self.crc, packed, size, _, _, _, _, _, _, offset = fields
        self.raw_name = raw_name
        self.name = raw_name.decode("utf-8" if flags & _UTF8 else "cp437", "replace")
        self.method = None if flags & _UNREADABLE else method
        self.size, self.packed, self.offset = _with_64_bits((size, packed, offset), extra)
        self.limit = 0


def _with_64_bits(values: Tuple[int, ...], extra: bytes) -> List[int]:
    """Size, packed size and offset, those from the extra fields that have no room in the entry itself."""
    wide = b""
    while len(extra) >= 4:
        kind, length = struct.unpack_from("<HH", extra)
        if kind == 1:
            wide = extra[4 : 4 + length]
        extra = extra[4 + length :]
    found = list(values)
    for number, value in enumerate(values):
        if value == _ELSEWHERE:
            if len(wide) < 8:
                raise BadZipError("a size is missing in the directory")
            found[number], wide = int.from_bytes(wide[:8], "little"), wide[8:]
    return found


class Archive:
    """A ZIP archive in a stream that can seek. Raises BadZipError.

    Attributes:
        members: in the directory's order.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.members: List[Member] = []
        start, size, offset = self._directory()
        # What stands before an archive moves all of it.
        self._moved = start - offset
        if start < 0 or self._moved < 0:
            raise BadZipError("the directory lies outside the file")
        directory = self._read(start, size)
        at = 0
        while at < size:
            fields = _unpack(_ENTRY, b"PK\x01\x02", directory[at : at + _ENTRY.size])
            name_end = at + _ENTRY.size + fields[10]
            extra_end = name_end + fields[11]
            at, begin = extra_end + fields[12], at + _ENTRY.size
            if at > size:
                raise BadZipError("the directory is cut off")
            self.members.append(Member(directory[begin:name_end], fields, directory[name_end:extra_end]))
        limit = offset
        for member in sorted(self.members, key=lambda member: -member.offset):
            if member.offset > limit:
                raise BadZipError("a member lies outside the file")
            if member.offset + _LOCAL.size + len(member.raw_name) + member.packed > limit:
                raise BadZipError(f"{member.name} reaches into what follows it")
            member.limit, limit = limit, member.offset

    def _directory(self) -> Tuple[int, int, int]:
        """Where the directory is, its size, and where it says it is."""
        end = self._stream.seek(0, os.SEEK_END)
        first = max(0, end - _END.size - _LONGEST_COMMENT)
        tail = self._read(first, end - first)
        at = tail.rfind(b"PK\x05\x06", 0, max(0, len(tail) - _END.size + 4))
        if at < 0:
            raise BadZipError("no directory at its end")
        _, _, _, _, _, size, offset, _ = _END.unpack_from(tail, at)
        at += first
        if at >= _POINTER_64.size + _END_64.size:
            wide = self._read(at - _POINTER_64.size - _END_64.size, _POINTER_64.size + _END_64.size)
            if wide.startswith(b"PK\x06\x06") and wide[_END_64.size :].startswith(b"PK\x06\x07"):
                at -= len(wide)
                size, offset = _END_64.unpack_from(wide)[-2:]
        return at - size, size, offset

    def _read(self, at: int, size: int) -> bytes:
        self._stream.seek(at)
        content = self._stream.read(size)
        if len(content) < size:
            raise BadZipError("it is cut off")
        return content

    def open(self, member: Member) -> Contents:
        """The contents of a member. Raises BadZipError."""
        if member.method not in (_STORED, _DEFLATED):
            raise BadZipError(f"{member.name} is neither stored nor deflated")
        local = self._read(member.offset + self._moved, _LOCAL.size)
        *_, name_length, extra_length = _unpack(_LOCAL, b"PK\x03\x04", local)
        start = member.offset + _LOCAL.size + name_length + extra_length
        if start + member.packed > member.limit:
            raise BadZipError(f"{member.name} reaches into what follows it")
        if self._read(member.offset + self._moved + _LOCAL.size, name_length) != member.raw_name:
            raise BadZipError(f"{member.name} has another name before its contents")
        return Contents(self._stream, start + self._moved, member)

    def read(self, member: Member) -> bytes:
        """All of a member's contents. Raises BadZipError."""
        return self.open(member).read(member.size)


class Contents:
    """The contents of one member, read once from start to end."""

    def __init__(self, stream: BinaryIO, at: int, member: Member) -> None:
        self._stream, self._at, self._member = stream, at, member
        self._packed, self._left, self._crc = member.packed, member.size, 0
        self._inflate: Any = None
        if member.method == _DEFLATED:
            import zlib

            if member.size > _MOST_RATIO * member.packed:
                raise BadZipError(f"{member.name} claims {member.size} bytes out of {member.packed}")
            self._inflate = zlib.decompressobj(-zlib.MAX_WBITS)
        elif member.packed != member.size:
            raise BadZipError(f"{member.name} is stored, yet its sizes differ")

    def read(self, size: int) -> bytes:
        """The next bytes, `size` of them while there are as many. Raises BadZipError."""
        size = min(size, self._left)
        content = self._next(size) if self._inflate is None else self._inflated(size)
        self._left -= size
        self._crc = crc32(content, self._crc)
        if len(content) < size:
            raise BadZipError(f"{self._member.name} is cut off")
        if not self._left and self._crc != self._member.crc:
            raise BadZipError(f"{self._member.name} is damaged: its CRC-32 is another")
        return content

    def _next(self, size: int) -> bytes:
        self._stream.seek(self._at)
        content = self._stream.read(min(size, self._packed))
        self._at += len(content)
        self._packed -= len(content)
        return content

    def _inflated(self, size: int) -> bytes:
        import zlib

        content = bytearray()
        try:
            while len(content) < size and not self._inflate.eof:
                piece = self._inflate.unconsumed_tail or self._next(_PIECE)
                more = self._inflate.decompress(piece, min(size - len(content), _MOST))
                if not piece and not more:
                    break
                content += more
        except zlib.error as error:
            raise BadZipError(f"{self._member.name} is damaged: {error}") from None
        return bytes(content)


def _unpack(layout: struct.Struct, magic: bytes, content: bytes) -> Tuple[Any, ...]:
    if len(content) < layout.size or not content.startswith(magic):
        raise BadZipError("a header is missing")
    return layout.unpack(content)
