"""Short relocations, written and read back."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

import pytest

from aotpack.elf import relocations


def decoded(words: Sequence[int]) -> Iterator[int]:
    """What glibc's loader makes of a DT_RELR table."""
    where = 0
    for word in words:
        if not word & 1:
            yield word
            where = word + 8
        else:
            yield from (where + 8 * bit for bit in range(63) if word >> (bit + 1) & 1)
            where += 63 * 8


@pytest.mark.parametrize("seed", range(20))
def test_every_place_comes_back(seed: int) -> None:
    draw = random.Random(seed)  # noqa: S311
    places = sorted(
        {8 * draw.randrange(1, draw.choice((100, 10_000, 1_000_000))) for _ in range(draw.randrange(2_000))}
    )
    words = list(relocations.relr(places))
    assert list(decoded(words)) == places


def test_a_run_of_pointers_takes_a_bit_each() -> None:
    assert list(relocations.relr([0x1000, 0x1008, 0x1018])) == [0x1000, 0b1011]
    assert len(list(relocations.relr(range(0x1000, 0x1000 + 8 * 6301, 8)))) == 101


@pytest.mark.parametrize("content", [b"", b"\x7fELF", b"#!/bin/sh\n", b"\x7fELF\x02\x01" + bytes(100)])
def test_what_it_does_not_know_stays_as_it_is(content: bytes) -> None:
    assert relocations.packed_bytes(content) == content
