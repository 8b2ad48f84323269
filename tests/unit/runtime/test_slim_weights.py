"""Weights of linear layers, put into panels, and of convolutions of one tap, put into blocks."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from aotpack.errors import DamagedError
from aotpack.package.metadata import Constant, ModelMetadata, PackedWeight
from aotpack.runtime import slim_weights
from aotpack.runtime.slim_weights import Packing

SIZES = ((64, 32), (1, 1), (9, 17), (70, 40), (24, 5))


def up(size: int, block: int) -> int:
    return -(-size // block) * block


def descriptor(columns: int, depth: int, inner: int, block: int, **changes: tuple[int, int]) -> bytes:
    """What torch's oneDNN writes down for depth in blocks of `inner`, columns in blocks of `block`."""
    written = bytearray(772)
    struct.pack_into("<2i2q", written, 0, 1, 2, columns, depth)
    struct.pack_into("<q2q", written, 104, 3, up(columns, block), up(depth, inner))
    struct.pack_into("<q2q", written, 312, 2, up(depth, inner) * block, inner * block)
    struct.pack_into("<q2q", written, 416, 2, inner, block)
    struct.pack_into("<2q", written, 520, 1, 0)
    written[768] = 1
    for place, value in changes.values():
        struct.pack_into("<q", written, place, value)
    return bytes(written)


def model(*weights: tuple[bytes, int | None], **fields: object) -> ModelMetadata:
    """A model of a bias and of packed weights: descriptor and rows of each."""
    layouts = list(dict.fromkeys(layout.hex() for layout, _ in weights))
    return ModelMetadata(
        constants=(Constant((3,)), *(Constant((9, 9), layout=layouts.index(layout.hex())) for layout, _ in weights)),
        layouts=tuple(layouts),
        packed_weights=tuple(PackedWeight(1 + i, 64 + i * 4096, rows) for i, (_, rows) in enumerate(weights)),
        **fields,  # type: ignore[arg-type]
    )


def place_in(columns: int, depth: int, inner: int, block: int) -> Callable[[int, int], int]:
    """Where an element lies, counted in elements."""

    def place(column: int, row: int) -> int:
        blocks = column // block * (up(depth, inner) // inner) + row // inner
        return blocks * inner * block + row % inner * block + column % block

    return place


@pytest.mark.parametrize("to", [8, 16])
@pytest.mark.parametrize(("inner", "block"), [(16, 64), (8, 24), (8, 8)])
@pytest.mark.parametrize(("columns", "depth"), [(64, 32), (1, 1), (9, 17), (70, 40), (24, 5)])
def test_every_element_finds_its_place(columns: int, depth: int, inner: int, block: int, to: int) -> None:
    packing = Packing(0, columns, depth, up(columns, block), up(depth, inner), block, to)
    values = [0.0] * (packing.padded_columns * packing.padded_depth)
    # Panels: the depth is not filled up.
    to_depth = depth if to == 16 else up(depth, 8)
    source, target = place_in(columns, depth, inner, block), place_in(columns, to_depth, 1, to)
    for column in range(columns):
        for row in range(depth):
            values[source(column, row)] = 1.0 + column * depth + row
    moved = memoryview(slim_weights.in_order(struct.pack(f"<{len(values)}f", *values), packing)).cast("f")
    assert len(moved) == up(columns, to) * to_depth
    assert all(
        moved[target(column, row)] == 1.0 + column * depth + row for column in range(columns) for row in range(depth)
    )
    assert sum(value != 0 for value in moved) == columns * depth


def panels(columns: int, depth: int, given: bytes) -> str:
    """The descriptor of a weight in panels that was described by `given`."""
    written = bytearray(given)
    struct.pack_into("<2q", written, 112, up(columns, 16), depth)
    struct.pack_into("<2q", written, 320, 16 * depth, 16)
    struct.pack_into("<3q", written, 416, 1, 16, 0)
    struct.pack_into("<2q", written, 520, 0, 0)
    return written.hex()


@pytest.mark.parametrize("features", [("avx2",), ("avx2", "avx512f"), ()])
def test_linear_layers_get_panels_and_a_layout_that_says_so(features: tuple[str, ...]) -> None:
    wide, narrow = descriptor(768, 100, 16, 64), descriptor(100, 768, 16, 64)
    given = model((wide, 128), (narrow, 1), (wide, 8), (narrow, 0), (wide, None), cpu_features=features)
    metadata, packings = slim_weights.for_slim(given)
    assert packings == (
        Packing(64, 768, 100, 768, 112, 64),
        Packing(64 + 4096, 100, 768, 128, 768, 64),
        Packing(64 + 2 * 4096, 768, 100, 768, 112, 64),
        Packing(64 + 3 * 4096, 100, 768, 128, 768, 64),
    )
    assert metadata.layouts[2:] == (panels(768, 100, wide), panels(100, 768, narrow))
    # The last is not multiplied by in linear layers alone.
    assert [constant.layout for constant in metadata.constants] == [None, 2, 3, 2, 3, 0]
    assert metadata.rearranged
    # Done once: what a bundle says of itself is no reason to do it again.
    assert slim_weights.for_slim(metadata) == (metadata, ())


def test_a_weight_whose_last_panel_has_no_room_stays() -> None:
    metadata, packings = slim_weights.for_slim(model((descriptor(1000, 64, 8, 8), 1), (descriptor(1000, 60, 8, 8), 1)))
    # Filled up to 1000 x 64 in both cases; 1008 x 60 is less than that, 1008 x 64 more.
    assert [(packing.columns, packing.depth) for packing in packings] == [(1000, 60)]
    assert [constant.layout for constant in metadata.constants] == [None, 0, 2]


def convolution(columns: int, depth: int, block: int, *, taps: int = 1) -> bytes:
    """What it writes down for a convolution: columns in blocks."""
    written = bytearray(772)
    struct.pack_into("<2i4q", written, 0, 1, 4, columns, depth, taps, taps)
    struct.pack_into("<q4q", written, 104, 3, up(columns, block), depth, taps, taps)
    strides = (depth * block * taps**2, block, depth * block * taps, depth * block)
    struct.pack_into("<q4q", written, 312, 2, *strides)
    struct.pack_into("<2q", written, 416, 1, block)
    return bytes(written)


def test_convolutions_of_one_tap_get_blocks_too() -> None:
    one, three = convolution(100, 64, 24), convolution(64, 64, 16, taps=3)
    metadata, packings = slim_weights.for_slim(model((one, None), (three, None), (convolution(64, 3, 16), None)))
    assert packings == (Packing(64, 100, 64, 120, 64, 24, 8),)
    assert [constant.layout for constant in metadata.constants] == [None, 3, 1, 2]
    blocks = bytearray(one)
    struct.pack_into("<2q", blocks, 112, 104, 64)
    struct.pack_into("<4q", blocks, 320, 512, 64, 64, 64)
    struct.pack_into("<3q", blocks, 416, 2, 8, 8)
    struct.pack_into("<2q", blocks, 520, 1, 0)
    assert metadata.layouts[3] == blocks.hex()


def test_a_file_without_room_for_a_weight_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.blob"
    path.write_bytes(bytes(8192))
    first, second = Packing(0, 16, 64, 16, 64, 16), Packing(4096, 16, 64, 16, 64, 16, 8)
    slim_weights.rearrange(path, (first, second))
    late, huge = replace(second, begin=1 << 62), replace(second, padded_columns=1 << 58)
    for packings in ((replace(second, begin=8000),), (first, replace(second, begin=4000)), (late,), (huge,)):
        with pytest.raises(DamagedError, match="no room"):
            slim_weights.rearrange(path, packings)


@pytest.mark.parametrize(
    "layout",
    [
        b"",
        descriptor(64, 64, 16, 64)[:600],
        descriptor(64, 64, 16, 64, rank=(4, 3)),
        descriptor(64, 64, 16, 64, dtype=(104, 2)),
        descriptor(64, 64, 16, 64, offset=(304, 1)),
        descriptor(64, 64, 16, 64, kind=(312, 5)),
        descriptor(64, 64, 16, 64, blocks=(416, 3)),
        descriptor(64, 64, 16, 64, dims=(520, 0)),
        descriptor(64, 64, 16, 64, stride=(320, 1)),
        descriptor(64, 64, 16, 64, padded=(112, 1 << 40)),
        descriptor(64, 64, 4, 64),
        descriptor(64, 13, 1, 64),
        descriptor(64, 64, 16, 12),
        descriptor(-64, 64, 16, 64),
    ],
)
def test_an_order_that_is_not_known_stays(layout: bytes) -> None:
    metadata, packings = slim_weights.for_slim(model((layout, 128)))
    assert packings == ()
    assert metadata.constants == model((layout, 128)).constants


def test_convolutions_on_processors_with_wider_vectors_stay_as_torch_made_them() -> None:
    given = model((convolution(100, 64, 16), None), cpu_features=("avx2", "avx512f"))
    assert slim_weights.for_slim(given) == (given, ())
    other = model((descriptor(64, 64, 16, 64), 128), machine="aarch64")
    assert slim_weights.for_slim(other) == (other, ())
