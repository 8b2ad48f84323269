"""Weights of linear layers and of convolutions, put into panels."""

from __future__ import annotations

import itertools
import math
import random
import struct
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from aotpack.errors import DamagedError
from aotpack.package.metadata import Constant, ModelMetadata, PackedWeight
from aotpack.runtime import slim_weights
from aotpack.runtime.slim_weights import Packing

#: As oneDNN numbers types.
FLOAT16, BFLOAT16, FLOAT32, INT8 = 1, 2, 3, 5
#: How many numbers of each a word of 32 bits holds.
IN_WORD = {FLOAT16: 2, BFLOAT16: 2, FLOAT32: 1, INT8: 4}

SIZES = ((64, 32), (1, 1), (9, 17), (70, 40), (24, 5))


def up(size: int, block: int) -> int:
    return -(-size // block) * block


@dataclass(frozen=True)
class Given:
    """A weight as oneDNN lays it out: blocks (size, dim) from the outside, dims around them from the outside."""

    dtype: int
    sizes: tuple[int, ...]
    blocks: tuple[tuple[int, int], ...]
    order: tuple[int, ...]
    groups: int = 1

    def in_block(self, dim: int) -> int:
        return math.prod(size for size, of in self.blocks if of == dim)

    @property
    def padded(self) -> tuple[int, ...]:
        return tuple(up(size, self.in_block(dim)) for dim, size in enumerate(self.sizes))

    @property
    def strides(self) -> tuple[int, ...]:
        strides, step = [0] * len(self.sizes), math.prod(size for size, _ in self.blocks)
        for dim in reversed(self.order):
            strides[dim] = step
            step *= self.padded[dim] // self.in_block(dim)
        return tuple(strides)

    @property
    def numbers(self) -> int:
        return math.prod(self.padded)

    def place(self, index: tuple[int, ...]) -> int:
        """Where a number lies, counted in numbers."""
        rest, place, width = list(index), 0, 1
        for size, of in reversed(self.blocks):
            place += rest[of] % size * width
            rest[of] //= size
            width *= size
        return place + sum(at * stride for at, stride in zip(rest, self.strides, strict=True))

    def descriptor(self, **changes: tuple[int, int]) -> bytes:
        """What torch writes down; `changes` are 8 bytes at a place."""
        rank, blocks = len(self.sizes), self.blocks
        written = bytearray(772)
        struct.pack_into(f"<2i{rank}q", written, 0, 1, rank, *self.sizes)
        struct.pack_into(f"<q{rank}q", written, 104, self.dtype, *self.padded)
        struct.pack_into(f"<q{rank}q", written, 312, 2, *self.strides)
        struct.pack_into(f"<q{len(blocks)}q", written, 416, len(blocks), *(size for size, _ in blocks))
        struct.pack_into(f"<{len(blocks)}q", written, 520, *(of for _, of in blocks))
        if self.dtype == INT8:  # sums for the inputs' zero point lie behind it
            struct.pack_into("<qiii", written, 640, 8, 0, 0, 3 if self.groups > 1 else 1)
        struct.pack_into("<i", written, 768, self.groups)
        for place, value in changes.values():
            struct.pack_into("<q", written, place, value)
        return bytes(written)


def descriptor(columns: int, depth: int, inner: int, block: int, **changes: tuple[int, int]) -> bytes:
    """Of float32 for a linear layer: depth in blocks of `inner`, columns in blocks of `block`."""
    return Given(FLOAT32, (columns, depth), ((inner, 1), (block, 0)), (0, 1)).descriptor(**changes)


def convolution(sizes: tuple[int, ...], *blocks: tuple[int, int], groups: int = 1, dtype: int = FLOAT32) -> bytes:
    """Of a convolution: its sizes as oneDNN has them."""
    return Given(dtype, sizes, blocks, tuple(range(len(sizes))), groups).descriptor()


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


class Panels:
    """Where the kernels look for numbers (bridge/slim/kernels/matrix/product.h and convolution.h)."""

    def __init__(self, given: Given) -> None:
        self.given = given
        self.in_word = IN_WORD[given.dtype]
        lead = 1 if given.groups > 1 else 0
        sizes = given.sizes[lead:]
        self.groups = given.sizes[0] if lead else 1
        # Bytes of a linear layer are the other way round.
        self.is_turned = len(sizes) == 2 and given.dtype == INT8
        self.outputs, self.inputs = reversed(sizes) if self.is_turned else sizes[:2]  # type: ignore[misc]
        self.taps = sizes[2:]
        self.is_depthwise = self.groups > 1 and (self.outputs, self.inputs) == (1, 1)

    @property
    def are_read(self) -> bool:
        if self.is_depthwise:
            return self.given.dtype == FLOAT32
        if self.given.dtype == FLOAT16 and self.taps:
            return False
        if self.given.dtype == BFLOAT16 and self.taps:
            return self.inputs % 2 == 0
        return self.inputs % self.in_word == 0 or math.prod(self.taps) == 1

    @property
    def numbers(self) -> int:
        if self.is_depthwise:
            return up(self.groups, 16) * math.prod(self.taps)
        return self.groups * up(self.outputs, 16) * math.prod(self.taps) * up(self.inputs, self.in_word)

    def place(self, index: tuple[int, ...]) -> int:
        *group, output, inputs = index[: 3 if self.groups > 1 else 2]
        if self.is_turned:
            output, inputs = inputs, output
        tap = 0
        for at, size in zip(index[len(group) + 2 :], self.taps, strict=True):
            tap = tap * size + at
        all_taps = math.prod(self.taps)
        if self.is_depthwise:
            return (group[0] // 16 * all_taps + tap) * 16 + group[0] % 16
        panel = (group[0] if group else 0) * (up(self.outputs, 16) // 16) + output // 16
        word = (panel * all_taps + tap) * (up(self.inputs, self.in_word) // self.in_word) + inputs // self.in_word
        return (word * 16 + output % 16) * self.in_word + inputs % self.in_word


def everything_finds_its_place(given: Given) -> bool:
    """Whether the weight is rearranged; then each number of it lies where the kernels look for it."""
    layout, wanted = given.descriptor(), Panels(given)
    metadata, packings = slim_weights.for_slim(model((layout, 8 if len(given.sizes) == 2 else None)))
    if not wanted.are_read or wanted.numbers > given.numbers:
        assert packings == ()
        assert metadata.constants[1].layout == 0
        return False
    (packing,) = packings
    item = 4 // IN_WORD[given.dtype]
    assert packing.size == given.numbers * item
    source, expected = bytearray(packing.size), bytearray(wanted.numbers * item)
    drawn = random.Random(0)  # noqa: S311  (no secrets)
    places = set()
    for index in itertools.product(*map(range, given.sizes)):
        number = drawn.randbytes(item)
        at, to = given.place(index) * item, wanted.place(index) * item
        source[at : at + item] = expected[to : to + item] = number
        places.add(to)
    assert len(places) == math.prod(given.sizes)
    assert b"".join(slim_weights.in_order(bytes(source), packing)) == expected
    # What the model is said to hold is what it holds, and no sums lie behind it.
    written = bytes.fromhex(metadata.layouts[metadata.constants[1].layout or 0])
    tables = [packing.panels.places(dim) for dim in range(len(given.sizes))]
    last = tuple(size - 1 for size in given.sizes)
    assert struct.unpack_from(f"<{len(tables)}q", written, 320) == packing.panels.strides
    assert sum(table[-1] for table in tables) == wanted.place(last)
    assert written[640:768] == bytes(128)
    return True


@pytest.mark.parametrize(
    "given",
    [
        *[
            Given(FLOAT32, size, ((inner, 1), (block, 0)), (0, 1))
            for size in SIZES
            for inner, block in ((16, 64), (8, 24), (8, 8))
            if up(size[0], 16) * size[1] <= up(size[0], block) * up(size[1], inner)  # the last panel has room
        ],
        # AMX; without its instructions; without those for bfloat16.
        Given(BFLOAT16, (100, 70), ((16, 1), (32, 0), (2, 1)), (0, 1)),
        Given(BFLOAT16, (100, 70), ((16, 1), (64, 0), (2, 1)), (0, 1)),
        Given(BFLOAT16, (96, 70), (), (0, 1)),
        Given(BFLOAT16, (96, 70), (), (1, 0)),
        Given(FLOAT16, (100, 70), ((16, 1), (32, 0), (2, 1)), (0, 1)),
        Given(FLOAT16, (96, 71), ((16, 1), (64, 0)), (0, 1)),
        Given(INT8, (70, 100), ((16, 0), (64, 1), (4, 0)), (1, 0)),
        Given(FLOAT32, (64, 32, 3, 3), ((16, 1), (16, 0)), (0, 1, 2, 3)),
        Given(FLOAT32, (40, 20, 3, 2), ((8, 1), (8, 0)), (0, 1, 2, 3)),
        Given(FLOAT32, (100, 64, 1, 1), ((24, 0),), (0, 1, 2, 3)),
        Given(FLOAT32, (32, 3, 7, 7), ((16, 0),), (0, 2, 3, 1)),
        Given(FLOAT32, (16, 4, 2, 3, 2), ((4, 1), (16, 0)), (0, 1, 2, 3, 4)),
        Given(FLOAT32, (3, 16, 5, 3, 3), ((8, 2), (8, 1)), (0, 1, 2, 3, 4), 3),
        Given(FLOAT32, (24, 1, 1, 3, 3), ((16, 0),), (0, 1, 2, 3, 4), 24),
        Given(BFLOAT16, (64, 64, 3, 3), ((16, 1), (32, 0), (2, 1)), (0, 2, 3, 1)),
        Given(BFLOAT16, (40, 20, 3, 3), ((8, 1), (16, 0), (2, 1)), (0, 1, 2, 3)),
        Given(BFLOAT16, (4, 8, 8, 3, 3), ((16, 1), (2, 2)), (0, 1, 3, 4, 2), 4),
        Given(INT8, (64, 64, 3, 3), ((32, 0), (4, 1)), (0, 2, 3, 1)),
        Given(INT8, (64, 6, 1, 1), ((64, 0), (4, 1)), (0, 2, 3, 1)),
        Given(INT8, (48, 8, 3, 3), ((2, 1), (8, 0), (4, 1)), (0, 1, 2, 3)),
        Given(INT8, (4, 8, 8, 3, 3), ((16, 1), (4, 2)), (0, 1, 3, 4, 2), 4),
    ],
)
def test_weights_as_torch_packs_them_get_panels(given: Given) -> None:
    assert everything_finds_its_place(given)


@pytest.mark.parametrize(
    "given",
    [
        # Odd channels are multiplied as float32; a tap's channels are not filled up; a loop of its own.
        Given(BFLOAT16, (32, 3, 3, 3), ((32, 0), (2, 1)), (0, 2, 3, 1)),
        Given(INT8, (64, 6, 3, 3), ((64, 0), (4, 1)), (0, 2, 3, 1)),
        Given(INT8, (64, 1, 1, 3, 3), ((16, 0),), (0, 3, 4, 1, 2), 64),
        Given(BFLOAT16, (64, 1, 1, 3, 3), ((16, 0),), (0, 3, 4, 1, 2), 64),
        # All convolutions of float16 are multiplied as float32.
        Given(FLOAT16, (64, 64, 1, 1), ((16, 1), (32, 0), (2, 1)), (0, 2, 3, 1)),
        # No room for the last panel.
        Given(INT8, (24, 8, 3, 3), ((2, 1), (8, 0), (4, 1)), (0, 1, 2, 3)),
        Given(BFLOAT16, (1003, 70), (), (0, 1)),
    ],
)
def test_weights_for_which_there_are_no_panels_stay(given: Given) -> None:
    assert not everything_finds_its_place(given)


@st.composite
def weights(draw: st.DrawFn) -> Given:
    """Of any type and use, in any blocks, dims around them in any order."""
    dtype = draw(st.sampled_from([FLOAT16, BFLOAT16, FLOAT32, INT8]))
    taps = draw(st.sampled_from([None, 1, 2, 3]))
    groups = 1 if taps is None else draw(st.sampled_from([1, 1, 3, 20]))
    small = st.integers(1, 1 if groups == 20 else 40 if taps is None else 20)
    sizes = (draw(small), draw(small))
    if taps is not None:
        # Those of one channel each way are taken for a recurrent layer's.
        assume(groups > 1 or sizes != (1, 1))
        sizes = (*((groups,) if groups > 1 else ()), *sizes, *draw(st.tuples(*[st.integers(1, 3)] * taps)))
    dims = st.integers(0, min(len(sizes), 3) - 1)
    blocks = draw(st.lists(st.tuples(st.sampled_from([2, 4, 8, 16, 24]), dims), max_size=3).map(tuple))
    given = Given(dtype, sizes, blocks, tuple(draw(st.permutations(range(len(sizes))))), groups)
    assume(given.numbers < 200_000)
    return given


@settings(max_examples=150, deadline=None)
@example(given=Given(INT8, (5, 3), (), (0, 1)))
@given(given=weights())
def test_every_number_finds_its_place(given: Given) -> None:
    everything_finds_its_place(given)


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
        descriptor(64, 64, 16, 64, dtype=(104, 4)),
        descriptor(64, 64, 16, 64, offset=(304, 1)),
        descriptor(64, 64, 16, 64, kind=(312, 5)),
        descriptor(64, 64, 16, 64, blocks=(416, 3)),
        descriptor(64, 64, 16, 64, dims=(520, 0)),
        descriptor(64, 64, 16, 64, stride=(328, 1)),
        descriptor(64, 64, 16, 64, stride=(328, 0)),
        descriptor(64, 64, 16, 64, padded=(112, 1 << 40)),
        descriptor(64, 64, 16, 64, of=(424, 0)),
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
