"""Device code in NVIDIA's format, put together without a compiler: it says what it is and computes nothing."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from aotpack.gpu.fatbin import Kind


@dataclass(frozen=True)
class Piece:
    """One element to put into a section."""

    sm: int
    kind: int = Kind.CUBIN
    flags: int = 0x11
    payload: int = 64
    header: int = 64

    def encode(self) -> bytes:
        fixed = struct.pack(
            "<HHIQIIHHIIIQQQ", self.kind, 0x0101, self.header, self.payload, 0, 0, 8, 1, self.sm, 0, 0, self.flags, 0, 0
        )
        # The payload says what it is, so that a test sees whether the right one moved.
        body = struct.pack("<II", self.sm, self.kind).ljust(self.payload, b"\xab")
        return fixed.ljust(self.header, b"\0") + body


def region(*pieces: Piece) -> bytes:
    elements = b"".join(piece.encode() for piece in pieces)
    return struct.pack("<IHHQ", 0xBA55ED50, 1, 16, len(elements)) + elements
