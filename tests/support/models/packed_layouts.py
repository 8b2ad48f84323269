"""oneDNN's descriptors of weights as bridge/tests/packed_layout_cases.inc has them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tests.support.cases import cases


@dataclass(frozen=True)
class PackedLayout:
    """One of them, and what its readers make of it."""

    what: str
    descriptor: bytes
    half: str
    is_read_by_slim: bool
    gets_panels: bool


def _written(size: int, numbers: str) -> bytes:
    descriptor = bytearray(size)
    for begin, width, values in re.findall(r"(\d+):(\d)=(\S+)", numbers):
        for index, value in enumerate(values.split(",")):
            place = int(begin) + index * int(width)
            descriptor[place : place + int(width)] = int(value).to_bytes(int(width), "little", signed=True)
    assert len(descriptor) == size
    return bytes(descriptor)


CASES = [
    PackedLayout(what, _written(int(size), numbers), half, slim == "reads", panels == "panels")
    for what, size, numbers, _shape, _item, _extent, half, slim, panels in cases("packed_layout_cases.inc", "PACKED")
]
