"""Weights in the order in which the slim runtime multiplies by them. Pure but for `rearrange`.

Freezing packs them as torch's oneDNN likes them best on the machine of the export. A package keeps that order, in which
torch itself is fast; a bundle with the slim runtime gets another, so that they are used where they are mapped and all
processes share them. Repacked on the target, each process would hold a copy.

That other order is one for all processors: panels of 16 output features or channels, which the kernels of all
instruction sets read alike (bridge/slim/kernels/matrix/product.h and convolution.h).
"""

from __future__ import annotations

import ctypes
import itertools
import math
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from aotpack.errors import DamagedError
from aotpack.package.metadata import ModelMetadata, PackedWeight

#: Output features or channels in a panel.
PANEL = 16
#: Of each one, bytes side by side: a float32, two numbers of 16 bits or four int8, which follow one another along the
#: depth.
WORD = 4

#: As oneDNN numbers types.
_FLOAT16, _BFLOAT16, _FLOAT32, _INT8 = 1, 2, 3, 5
_ITEM_SIZES = {_FLOAT16: 2, _BFLOAT16: 2, _FLOAT32: 4, _INT8: 1}
#: A layout in blocks, as oneDNN numbers kinds of layouts.
_BLOCKED = 2
_MAX_DIMS = 12
_Dims = ctypes.c_int64 * _MAX_DIMS
#: Where torch writes how many groups a convolution has, behind what oneDNN writes.
_GROUPS_AT = 768
_WHOLE = _GROUPS_AT + 4
#: Sums for signed inputs, which are taken for unsigned ones, and for inputs with a zero point.
_KNOWN_SUMS = 1 | 8


class _Descriptor(ctypes.LittleEndianStructure):
    """How a layout begins as oneDNN 3 writes it down: its struct dnnl_memory_desc."""

    _fields_ = (
        ("kind", ctypes.c_int32),
        ("rank", ctypes.c_int32),
        ("sizes", _Dims),
        ("dtype", ctypes.c_int32),
        ("padded_sizes", _Dims),
        ("padded_offsets", _Dims),
        ("offset", ctypes.c_int64),
        ("format", ctypes.c_int32),
        ("strides", _Dims),
        ("blocks", ctypes.c_int32),
        ("block_sizes", _Dims),
        ("block_dims", _Dims),
        ("reserved", ctypes.c_int64 * 3),
        # Which sums lie behind the numbers of a quantised weight, and of which dims.
        ("sums", ctypes.c_uint64),
        ("dims_of_signed", ctypes.c_int32),
        ("scale", ctypes.c_float),
        ("dims_of_unsigned", ctypes.c_int32),
        ("rest", ctypes.c_uint8 * (_GROUPS_AT - 660)),
    )

    @property
    def is_known(self) -> bool:
        """Whether it says nothing but what is understood here, and in the bridge (package/packed_layout.cpp)."""
        return not any(self.reserved) and not any(self.rest) and not self.sums & ~_KNOWN_SUMS


@dataclass(frozen=True)
class Layout:
    """Where the numbers of a weight lie: those of a block side by side, strides lead from block to block.

    Attributes:
        item_size: bytes of a number.
        sizes: [groups,] output features or channels, input features or channels, taps.
        padded: the same, filled up to whole blocks.
        strides: of each dim, in numbers.
        block_sizes: outermost first.
        block_dims: which dim each is of.
    """

    item_size: int
    sizes: tuple[int, ...]
    padded: tuple[int, ...]
    strides: tuple[int, ...]
    block_sizes: tuple[int, ...]
    block_dims: tuple[int, ...]

    @property
    def bytes(self) -> int:
        """All of it."""
        return math.prod(self.padded) * self.item_size

    @property
    def is_sound(self) -> bool:
        """Whether it says of each number where it is, within its bytes and apart from all others."""
        if min(*self.sizes, *self.block_sizes) <= 0 or min(self.strides) < 0:
            return False
        if not all(0 <= dim < len(self.sizes) for dim in self.block_dims):
            return False
        blocks = [math.prod(self._blocks_of(dim)) for dim in range(len(self.sizes))]
        if self.padded != tuple(_up(size, block) for size, block in zip(self.sizes, blocks, strict=True)):
            return False
        end = math.prod(blocks)
        counts = (padded // block for padded, block in zip(self.padded, blocks, strict=True))
        for stride, count in sorted(zip(self.strides, counts, strict=True)):
            if count > 1 and stride < end:
                return False
            end += (count - 1) * stride
        return end * self.item_size <= self.bytes

    def places(self, dim: int) -> list[int]:
        """What each index along a dim adds to a number's place."""
        inner: list[tuple[int, int]] = []
        width = 1
        for size, of in zip(reversed(self.block_sizes), reversed(self.block_dims), strict=True):
            if of == dim:
                inner.append((size, width))
            width *= size
        found = []
        for index in range(self.sizes[dim]):
            place, rest = 0, index
            for size, width in inner:
                place += rest % size * width
                rest //= size
            found.append(place + rest * self.strides[dim])
        return found

    def _blocks_of(self, dim: int) -> list[int]:
        return [size for size, of in zip(self.block_sizes, self.block_dims, strict=True) if of == dim]


@dataclass(frozen=True)
class Packing:
    """A weight and its new order.

    Attributes:
        begin: its first byte in the file.
        given: torch's order.
        panels: that of the slim runtime, which takes no more bytes.
        columns: the dim of which panels are made: output features or channels, or groups of one channel.
        depth: the dim that is summed up over: input features or channels.
    """

    begin: int
    given: Layout
    panels: Layout
    columns: int
    depth: int

    @property
    def size(self) -> int:
        """Bytes."""
        return self.given.bytes


def for_slim(metadata: ModelMetadata) -> tuple[ModelMetadata, tuple[Packing, ...]]:
    """The metadata as it is true once the returned weights were rearranged."""
    if metadata.machine != "x86_64":
        return metadata, ()
    constants, layouts = list(metadata.constants), list(metadata.layouts)
    packings = []
    for weight in metadata.packed_weights:
        constant = constants[weight.constant]
        if constant.layout is None:
            continue
        given = bytes.fromhex(layouts[constant.layout])
        packing = _read(given, weight)
        if packing is None:
            continue
        packings.append(packing)
        layout = _rearranged(given, packing).hex()
        if layout not in layouts:
            layouts.append(layout)
        constants[weight.constant] = replace(constant, layout=layouts.index(layout), convolution=None, sha256=None)
    if not packings:
        return metadata, ()
    changed = replace(
        metadata,
        constants=tuple(constants),
        layouts=tuple(layouts),
        packed_on=None,
        packed_weights=(),
        rearranged=True,
    )
    return changed, tuple(packings)


def rearrange(path: Path, packings: tuple[Packing, ...]) -> None:
    """Put weights of a file into their order, where they are. Raises DamagedError where it does not hold them all."""
    size = path.stat().st_size
    ends = (*(packing.begin for packing in packings[1:]), size)
    with path.open("r+b") as file:
        for packing, end in zip(packings, ends, strict=True):
            if packing.begin + packing.size > min(end, size):
                raise DamagedError(
                    f"{path.name} of {size} bytes has no room for a weight of {packing.size} at {packing.begin}",
                    meaning="the package was cut off, or its weights belong to another model",
                    fix="export the model again: aotpack export FILE.py:FUNCTION --output MODEL.pt2",
                )
            file.seek(packing.begin)
            given = file.read(packing.size)
            file.seek(packing.begin)
            file.writelines(in_order(given, packing))


def in_order(given: bytes, packing: Packing) -> Iterator[bytes]:
    """The panels of a weight, one by one, from one in torch's order. What fills them up is zeros."""
    source = packing.given
    around, within = _dims_around(len(source.sizes), packing.columns, packing.depth)
    taps = list(_sums(source.places(dim) for dim in within))
    words = list(_filled(source.places(packing.depth), WORD // source.item_size))
    columns = list(_filled(source.places(packing.columns), PANEL))
    readers: dict[tuple[int | None, ...], _Reader] = {}
    for begin in _sums(source.places(dim) for dim in around):
        for panel in columns:
            # Nearly all panels of a weight are as far apart from one another as their columns are within each.
            first = panel[0] or 0
            near = tuple(None if place is None else place - first for place in panel)
            if near not in readers:
                readers[near] = _Reader(_places(taps, words, near), source.item_size)
            yield readers[near].read(given, begin + first)


def _filled(places: list[int], count: int) -> Iterator[tuple[int | None, ...]]:
    """As many places at a time; None for those that are missing at the end."""
    for first in range(0, len(places), count):
        some = places[first : first + count]
        yield (*some, *[None] * (count - len(some)))


def _sums(places: Iterable[list[int]]) -> Iterator[int]:
    """What all combinations of indices add to a number's place, the last dim's varying fastest."""
    return map(sum, itertools.product(*places))


def _places(
    taps: Sequence[int], words: Sequence[tuple[int | None, ...]], columns: Sequence[int | None]
) -> Iterator[int | None]:
    """Where the numbers of a panel are in torch's order, counted from its first column; None for zeros."""
    for tap in taps:
        for word in words:
            for column in columns:
                for number in word:
                    yield None if column is None or number is None else tap + column + number


class _Reader:
    """Reads numbers of a weight in another order. As what lies side by side in both is read at once, and a struct's
    format skips what is between, that takes about as long as copying them."""

    def __init__(self, places: Iterable[int | None], item_size: int) -> None:
        stretches = list(_stretches(places, item_size))
        found = sorted((place, size) for place, size in stretches if place is not None)
        end = self._begin = found[0][0]
        numbers, text = {}, ["<"]
        for number, (place, size) in enumerate(found):
            text.append(f"{place - end}x{size}s")
            numbers[place] = number
            end = place + size
        self._struct = struct.Struct("".join(text))
        missing = [(number, size) for number, (place, size) in enumerate(stretches) if place is None]
        self._zeros = tuple(bytes(size) for _, size in missing)
        zeros = {number: len(found) + i for i, (number, _) in enumerate(missing)}
        self._order = [zeros[i] if place is None else numbers[place] for i, (place, _) in enumerate(stretches)]
        self._item_size = item_size

    def read(self, given: bytes, first: int) -> bytes:
        """Those at the places from the `first` number on."""
        parts = self._struct.unpack_from(given, first * self._item_size + self._begin) + self._zeros
        return b"".join([parts[number] for number in self._order])


def _stretches(places: Iterable[int | None], item_size: int) -> Iterator[tuple[int | None, int]]:
    """First byte and bytes of what lies side by side; None for zeros."""
    begin: int | None = None
    count = 0
    for place in places:
        if count and place == (None if begin is None else begin + count):
            count += 1
            continue
        if count:
            yield None if begin is None else begin * item_size, count * item_size
        begin, count = place, 1
    yield None if begin is None else begin * item_size, count * item_size


def _read(layout: bytes, weight: PackedWeight) -> Packing | None:
    """None for a weight that stays: used otherwise, without room for panels, or in an order not known here."""
    if len(layout) != _WHOLE:
        return None
    given = _Descriptor.from_buffer_copy(layout)
    if not given.is_known or given.dtype not in _ITEM_SIZES or (given.format, given.offset) != (_BLOCKED, 0):
        return None
    if not 2 <= given.rank <= _MAX_DIMS or not 0 <= given.blocks <= _MAX_DIMS:
        return None
    rank, blocks = given.rank, given.blocks
    if any(given.padded_offsets[:rank]):
        return None
    found = Layout(
        _ITEM_SIZES[given.dtype],
        tuple(given.sizes[:rank]),
        tuple(given.padded_sizes[:rank]),
        tuple(given.strides[:rank]),
        tuple(given.block_sizes[:blocks]),
        tuple(given.block_dims[:blocks]),
    )
    groups = int.from_bytes(layout[_GROUPS_AT:], "little")
    if groups not in (1, given.sizes[0]):
        return None
    dims = _dims_of_linear(given.dtype, weight) if rank == 2 else _dims_of_convolution(found.sizes, given.dtype, groups)
    if dims is None or not found.is_sound:
        return None
    packing = Packing(weight.begin, found, _panels(found, *dims), *dims)
    return packing if packing.panels.bytes <= packing.size else None


def _dims_of_linear(dtype: int, weight: PackedWeight) -> tuple[int, int] | None:
    """Which dims are columns and depth; None where not only linear layers multiply by the weight."""
    if dtype == _INT8:  # nothing else does by bytes that oneDNN has packed
        return 1, 0
    return None if weight.rows is None else (0, 1)


def _dims_of_convolution(sizes: tuple[int, ...], dtype: int, groups: int) -> tuple[int, int] | None:
    """Which dims are columns and depth; None where kernels read no panels."""
    lead = 1 if groups > 1 else 0
    if len(sizes) < lead + 3 or sizes[:2] == (1, 1):
        return None  # of a recurrent layer, for one
    if lead == 1 and sizes[1:3] == (1, 1):
        return (0, 2) if dtype == _FLOAT32 else None  # the kernels' loop over channels
    depth = lead + 1
    if dtype == _FLOAT16 or (dtype == _BFLOAT16 and sizes[depth] % 2):
        return None  # multiplied as float32
    # Kernels expect one tap's channels right behind those of another.
    in_word = WORD // _ITEM_SIZES[dtype]
    return (lead, depth) if sizes[depth] % in_word == 0 or math.prod(sizes[depth + 1 :]) == 1 else None


def _dims_around(rank: int, columns: int, depth: int) -> tuple[list[int], list[int]]:
    """The dims around panels, from the outside, and those in them around words of the depth."""
    others = [dim for dim in range(rank) if dim != depth]
    at = others.index(columns)
    return others[:at], others[at + 1 :]


def _panels(given: Layout, columns: int, depth: int) -> Layout:
    """Panels of a weight; in them, from the outside: taps, words of the depth, columns, what is in a word."""
    in_word = WORD // given.item_size
    blocks = {depth: in_word, columns: PANEL}
    padded = [_up(size, blocks.get(dim, 1)) for dim, size in enumerate(given.sizes)]
    strides = [0] * len(padded)
    step = PANEL * in_word
    for dim in (depth, *(dim for dim in reversed(range(len(padded))) if dim != depth)):
        strides[dim] = step
        step *= padded[dim] // blocks.get(dim, 1)
    block_sizes, block_dims = ((PANEL,), (columns,)) if in_word == 1 else ((PANEL, in_word), (columns, depth))
    return Layout(given.item_size, given.sizes, tuple(padded), tuple(strides), block_sizes, block_dims)


def _rearranged(layout: bytes, packing: Packing) -> bytes:
    """oneDNN's descriptor of the weight in its new order. The runtime sums up columns by itself."""
    changed = _Descriptor.from_buffer_copy(layout)
    panels, rank = packing.panels, changed.rank
    changed.padded_sizes[:rank] = panels.padded
    changed.strides[:rank] = panels.strides
    changed.blocks = len(panels.block_sizes)
    changed.block_sizes[:] = (*panels.block_sizes, *[0] * (_MAX_DIMS - changed.blocks))
    changed.block_dims[:] = (*panels.block_dims, *[0] * (_MAX_DIMS - changed.blocks))
    changed.sums = changed.dims_of_signed = changed.dims_of_unsigned = 0
    changed.scale = 0
    return bytes(changed) + layout[_GROUPS_AT:]


def _up(size: int, block: int) -> int:
    """The next multiple."""
    return -(-size // block) * block
