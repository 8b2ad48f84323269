"""Which requests run together: rows go in, and each request gets its own rows back, whatever the traffic."""

from __future__ import annotations

import struct
from typing import Any

import hypothesis.strategies as st
import pytest
from aotrun.arrays.array import Array
from aotrun.arrays.dtypes import BY_NAME
from aotrun.arrays.signature import Dim, Spec
from aotrun.serving import batching
from hypothesis import given

FLOAT = BY_NAME["float32"]
BATCH = Dim(1, 64, b"batch")
WIDE = Dim(1, 8, b"width")


def spec(name: str, *dims: Dim) -> Spec:
    return Spec(name, FLOAT, dims, None)


@pytest.mark.parametrize(
    ("inputs", "outputs", "guards", "most", "reason"),
    [
        ([spec("x", BATCH, Dim(4, 4, None))], [spec("y", BATCH)], [], 64, ""),
        ([spec("x", BATCH, WIDE)], [spec("y", BATCH, WIDE)], [{"text": "width is even"}], 64, ""),
        ([spec("x", Dim(1, -1, b"n"))], [spec("y", Dim(1, -1, b"n"))], [], 0, ""),
        ([spec("x", Dim(4, 4, None))], [spec("y", BATCH)], [], 1, "not one dynamic"),
        ([spec("x", BATCH), spec("z", WIDE)], [spec("y", BATCH)], [], 1, "not one dynamic"),
        ([spec("x", BATCH)], [spec("y", Dim(1, 1, None))], [], 1, "not one dynamic"),
        ([spec("x", BATCH)], [spec("y", BATCH, BATCH)], [], 1, "also another size"),
        ([spec("x", BATCH, Dim(2, 128, b"2*batch"))], [spec("y", BATCH)], [], 1, "also another size"),
        ([spec("x", BATCH)], [spec("y", BATCH)], [{"text": "batch is a multiple of 6"}], 1, "conditions"),
        ([spec("x")], [spec("y", BATCH)], [], 1, "no first size"),
        ([Spec("x", None, None, None)], [spec("y", BATCH)], [], 1, "no first size"),
        ([], [spec("y", BATCH)], [], 1, "no first size"),
    ],
)
def test_what_a_signature_allows(
    inputs: list[Spec], outputs: list[Spec], guards: list[Any], most: int, reason: str
) -> None:
    seen, why = batching.largest_batch(inputs, outputs, guards)
    assert seen == most
    assert reason in why


@given(
    st.lists(st.tuples(st.sampled_from(["a", "b", None]), st.integers(0, 9)), min_size=1, max_size=20),
    st.integers(1, 12),
)
def test_the_queue_is_emptied_in_order(waiting: list[tuple[Any, int]], most: int) -> None:
    """Every request runs once; those of a run have one key and fit, and of one key none overtakes another that fits."""
    left = list(enumerate(waiting))
    ran: list[int] = []
    while left:
        places = batching.take([request for _, request in left], most)
        assert places[0] == 0
        assert places == sorted(set(places))
        chosen = [left[place] for place in places]
        keys = {key for _, (key, _) in chosen}
        rows = sum(size for _, (_, size) in chosen)
        assert len(keys) == 1
        assert len(chosen) == 1 or (rows <= most and None not in keys)
        ran += [number for number, _ in chosen]
        left = [each for place, each in enumerate(left) if place not in places]
    assert sorted(ran) == list(range(len(waiting)))


@given(st.lists(st.integers(0, 5), min_size=1, max_size=8), st.integers(1, 4))
def test_rows_come_back_to_those_who_gave_them(rows: list[int], width: int) -> None:
    requests = []
    number = 0
    for size in rows:
        values = [float(number + index) for index in range(size * width)]
        number += size * width
        data = bytearray(struct.pack(f"<{size * width}f", *values))
        requests.append([Array(FLOAT, (size, width), memoryview(data)), Array(FLOAT, (size,), bytearray(4 * size))])
    first, second = batching.join(requests)
    assert first.shape == (sum(rows), width)
    assert second.shape == (sum(rows),)
    assert first.tolist() == [float(index) for index in range(number)]
    for (begin, end), request in zip(batching.spans(rows), requests, strict=True):
        assert first.tolist()[begin * width : end * width] == request[0].tolist()


def test_requests_of_other_sizes_have_other_keys() -> None:
    def key(*shape: int) -> Any:
        return batching.key_of([Array(FLOAT, shape, b"")])

    assert key(1, 4) == key(3, 4)
    assert key(1, 4) != key(1, 5)


def test_outputs_that_are_not_the_rows_of_their_run() -> None:
    assert batching.is_whole([(6, 2), (6,)], 6)
    assert not batching.is_whole([(6, 2), (5,)], 6)
    assert not batching.is_whole([(6, 2), ()], 6)
    assert not batching.is_whole([(6, 2), None], 6)
