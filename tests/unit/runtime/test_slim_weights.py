"""Weights of linear layers and of convolutions, put into panels."""

from __future__ import annotations

import itertools
import math
import struct
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


def read(layout: bytes, rows: int | None = None) -> Packing:
    """How the one weight of a model is rearranged."""
    _, (packing,) = slim_weights.for_slim(model((layout, rows)))
    return packing


def convolution(sizes: tuple[int, ...], *blocks: tuple[int, int], groups: int = 1) -> bytes:
    """What it writes down for a convolution: its sizes as oneDNN has them, blocks (size, dim) from the outside."""
    rank = len(sizes)
    padded = [up(size, math.prod(b for b, of in blocks if of == d)) for d, size in enumerate(sizes)]
    strides, step = [0] * rank, math.prod(size for size, _ in blocks)
    for d in reversed(range(rank)):
        strides[d] = step
        step *= padded[d] // math.prod(b for b, of in blocks if of == d)
    written = bytearray(772)
    struct.pack_into(f"<2i{rank}q", written, 0, 1, rank, *sizes)
    struct.pack_into(f"<q{rank}q", written, 104, 3, *padded)
    struct.pack_into(f"<q{rank}q", written, 312, 2, *strides)
    struct.pack_into(f"<q{len(blocks)}q", written, 416, len(blocks), *(size for size, _ in blocks))
    struct.pack_into(f"<{len(blocks)}q", written, 520, *(of for _, of in blocks))
    struct.pack_into("<i", written, 768, groups)
    return bytes(written)


def panel_place(sizes: tuple[int, ...], groups: int, index: tuple[int, ...]) -> int:
    """Where the kernels look for a number, counted in numbers (bridge/slim/kernels/matrix/convolution.h)."""
    *group, output, inputs = index[: 3 if groups > 1 else 2]
    taps, of_taps = index[len(group) + 2 :], sizes[len(group) + 2 :]
    tap = 0
    for at, size in zip(taps, of_taps, strict=True):
        tap = tap * size + at
    all_taps = math.prod(of_taps)
    if groups > 1 and sizes[1:3] == (1, 1):
        return (group[0] // 16 * all_taps + tap) * 16 + group[0] % 16
    outputs, depth = sizes[len(group)], sizes[len(group) + 1]
    panel = (group[0] if group else 0) * (up(outputs, 16) // 16) + output // 16
    return ((panel * all_taps + tap) * depth + inputs) * 16 + output % 16


@pytest.mark.parametrize(
    ("layout", "sizes", "groups"),
    [
        *[
            (descriptor(*size, inner, block), size, 1)
            for size in SIZES
            for inner, block in ((16, 64), (8, 24), (8, 8))
            if up(size[0], 16) * size[1] <= up(size[0], block) * up(size[1], inner)  # the last panel has room
        ],
        (convolution((64, 32, 3, 3), (16, 1), (16, 0)), (64, 32, 3, 3), 1),
        (convolution((40, 20, 3, 2), (8, 1), (8, 0)), (40, 20, 3, 2), 1),
        (convolution((100, 64, 1, 1), (24, 0)), (100, 64, 1, 1), 1),
        (convolution((32, 3, 7, 7), (16, 0)), (32, 3, 7, 7), 1),
        (convolution((16, 4, 2, 3, 2), (4, 1), (16, 0)), (16, 4, 2, 3, 2), 1),
        (convolution((3, 16, 5, 3, 3), (8, 2), (8, 1), groups=3), (3, 16, 5, 3, 3), 3),
        (convolution((24, 1, 1, 3, 3), (16, 0), groups=24), (24, 1, 1, 3, 3), 24),
    ],
)
def test_every_number_finds_its_place(layout: bytes, sizes: tuple[int, ...], groups: int) -> None:
    metadata, packings = slim_weights.for_slim(model((layout, 8 if len(sizes) == 2 else None)))
    (packing,) = packings
    values = [0.0] * (packing.size // 4)
    tables = [packing.given.places(d) for d in range(len(sizes))]
    indices = list(itertools.product(*map(range, sizes)))
    for number, index in enumerate(indices):
        values[sum(table[at] for table, at in zip(tables, index, strict=True))] = 1.0 + number
    moved = memoryview(slim_weights.in_order(struct.pack(f"<{len(values)}f", *values), packing)).cast("f")
    assert all(moved[panel_place(sizes, groups, index)] == 1.0 + number for number, index in enumerate(indices))
    assert sum(value != 0 for value in moved) == len(indices)
    # What the model is said to hold is what it holds.
    written = bytes.fromhex(metadata.layouts[-1])
    tables = [packing.panels.places(d) for d in range(len(sizes))]
    assert struct.unpack_from(f"<{len(sizes)}q", written, 320) == packing.panels.strides
    assert sum(table[-1] for table in tables) == panel_place(sizes, groups, indices[-1])


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
    assert [(packing.begin, packing.given.sizes) for packing in packings] == [
        (64, (768, 100)),
        (64 + 4096, (100, 768)),
        (64 + 2 * 4096, (768, 100)),
        (64 + 3 * 4096, (100, 768)),
    ]
    assert metadata.layouts[2:] == (panels(768, 100, wide), panels(100, 768, narrow))
    # The last is not multiplied by in linear layers alone.
    assert [constant.layout for constant in metadata.constants] == [None, 2, 3, 2, 3, 0]
    assert metadata.rearranged
    # Done once: what a bundle says of itself is no reason to do it again.
    assert slim_weights.for_slim(metadata) == (metadata, ())


def test_a_weight_whose_last_panel_has_no_room_stays() -> None:
    metadata, packings = slim_weights.for_slim(model((descriptor(1000, 64, 8, 8), 1), (descriptor(1000, 60, 8, 8), 1)))
    # Filled up to 1000 x 64 in both cases; 1008 x 60 is less than that, 1008 x 64 more.
    assert [packing.given.sizes for packing in packings] == [(1000, 60)]
    assert [constant.layout for constant in metadata.constants] == [None, 0, 2]


def test_a_file_without_room_for_a_weight_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.blob"
    path.write_bytes(bytes(8192))
    first = replace(read(descriptor(16, 64, 16, 16), 1), begin=0)
    second = replace(read(convolution((16, 16, 2, 2), (16, 0))), begin=4096)
    slim_weights.rearrange(path, (first, second))
    late = replace(second, begin=1 << 62)
    huge = replace(second, given=replace(second.given, padded=(1 << 58, 16, 2, 2)))
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
        descriptor(64, 64, 16, 12),
        descriptor(-64, 64, 16, 64),
    ],
)
def test_an_order_that_is_not_known_stays(layout: bytes) -> None:
    metadata, packings = slim_weights.for_slim(model((layout, 128)))
    assert packings == ()
    assert metadata.constants == model((layout, 128)).constants


def test_another_architecture_and_recurrent_layers_stay_as_torch_made_them() -> None:
    other = model((descriptor(64, 64, 16, 64), 128), machine="aarch64")
    assert slim_weights.for_slim(other) == (other, ())
    recurrent = model((convolution((1, 1, 32, 4, 64), (16, 4)), None))
    assert slim_weights.for_slim(recurrent) == (recurrent, ())
