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
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from aotpack.errors import DamagedError
from aotpack.package.metadata import ModelMetadata, PackedWeight

#: Output features or channels in a panel; within one, they vary fastest.
PANEL = 16
#: What is moved at once: as many of them, which follow one another in both orders, as four numbers of 8 bytes.
PIECE = 8

#: float32, as oneDNN numbers it.
_FLOAT32 = 3
#: A layout in blocks, as oneDNN numbers kinds of layouts.
_BLOCKED = 2
_MAX_DIMS = 12
_Dims = ctypes.c_int64 * _MAX_DIMS
#: Where torch writes how many groups a convolution has, behind what oneDNN writes.
_GROUPS_AT = 768
_WORDS = PIECE * 4 // 8


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
    )


@dataclass(frozen=True)
class Layout:
    """Where the numbers of a weight lie: those of a block side by side, strides lead from block to block.

    Attributes:
        sizes: [groups,] output features or channels, input features or channels, taps.
        padded: the same, filled up to whole blocks.
        strides: of each dim, in numbers.
        block_sizes: outermost first.
        block_dims: which dim each is of.
    """

    sizes: tuple[int, ...]
    padded: tuple[int, ...]
    strides: tuple[int, ...]
    block_sizes: tuple[int, ...]
    block_dims: tuple[int, ...]

    @property
    def bytes(self) -> int:
        """All of it, as float32."""
        return math.prod(self.padded) * 4

    @property
    def is_sound(self) -> bool:
        """Whether it says of each number where it is, within its bytes."""
        if min(*self.sizes, *self.block_sizes) <= 0 or min(self.strides) < 0:
            return False
        if not all(0 <= dim < len(self.sizes) for dim in self.block_dims):
            return False
        blocks = [math.prod(self._blocks_of(dim)) for dim in range(len(self.sizes))]
        if self.padded != tuple(-(-size // block) * block for size, block in zip(self.sizes, blocks, strict=True)):
            return False
        steps = zip(self.padded, blocks, self.strides, strict=True)
        end = sum((padded // block - 1) * stride for padded, block, stride in steps) + math.prod(blocks)
        return end * 4 <= self.bytes

    def places(self, dim: int, step: int = 1) -> list[int]:
        """What each index along a dim, or each `step`-th of them, adds to a number's place."""
        inner: list[tuple[int, int]] = []
        width = 1
        for size, of in zip(reversed(self.block_sizes), reversed(self.block_dims), strict=True):
            if of == dim:
                inner.append((size, width))
            width *= size
        found = []
        for index in range(0, self.sizes[dim], step):
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
        dim: of what panels are made: output features or channels, or groups of one channel.
    """

    begin: int
    given: Layout
    panels: Layout
    dim: int

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
        constants[weight.constant] = replace(constant, layout=layouts.index(layout))
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
            file.write(in_order(given, packing))


def in_order(given: bytes, packing: Packing) -> bytearray:
    """A weight rearranged, from one in torch's order. What fills it up is zeros."""
    source_layout, target_layout, dim = packing.given, packing.panels, packing.dim
    target = bytearray(target_layout.bytes)
    source, words = memoryview(given).cast("Q"), memoryview(target).cast("Q")
    along = dim + 1 if len(source_layout.sizes) > dim + 1 else dim
    others = [d for d in range(len(source_layout.sizes)) if d not in (dim, along)]
    # Of all combinations of the other dims, and of the pieces along `dim`: where they begin in both orders.
    bases = [list(zip(source_layout.places(d), target_layout.places(d), strict=True)) for d in others]
    bases.append(list(zip(source_layout.places(dim, PIECE), target_layout.places(dim, PIECE), strict=True)))
    stretches = list(_stretches(source_layout.places(along), target_layout.places(along)))
    for combination in itertools.product(*bases):
        begin, to = (sum(places) // 2 for places in zip(*combination, strict=True))
        for first, step, to_first, to_step, count in stretches:
            for word in range(_WORDS):
                low, to_low = begin + first + word, to + to_first + word
                words[to_low : to_low + (count - 1) * to_step + 1 : to_step] = source[
                    low : low + (count - 1) * step + 1 : step
                ]
    return target


def _stretches(places: list[int], targets: list[int]) -> Iterator[tuple[int, int, int, int, int]]:
    """First place and step in words of 8 bytes in both orders, and how many, where both steps stay the same."""
    at = 0
    while at < len(places):
        count = min(2, len(places) - at)
        step, to_step = (p[at + count - 1] - p[at] for p in (places, targets))
        while at + count < len(places) and (
            places[at + count] - places[at + count - 1],
            targets[at + count] - targets[at + count - 1],
        ) == (step, to_step):
            count += 1
        yield places[at] // 2, max(step // 2, 1), targets[at] // 2, max(to_step // 2, 1), count
        at += count


def _read(layout: bytes, weight: PackedWeight) -> Packing | None:
    """None for a weight that stays: used otherwise, without room for panels, or in an order not known here."""
    if len(layout) <= _GROUPS_AT:
        return None
    given = _Descriptor.from_buffer_copy(layout)
    if (given.dtype, given.format, given.offset) != (_FLOAT32, _BLOCKED, 0):
        return None
    is_linear = given.rank == 2 and weight.rows is not None
    if not (is_linear or 3 <= given.rank <= _MAX_DIMS) or not 0 < given.blocks <= _MAX_DIMS:
        return None
    rank, blocks = given.rank, given.blocks
    sizes = tuple(given.sizes[:rank])
    lead = 1 if int.from_bytes(layout[_GROUPS_AT : _GROUPS_AT + 4], "little") > 1 else 0
    if (
        rank < lead + (2 if is_linear else 3)
        or (not is_linear and sizes[:2] == (1, 1))
        or any(given.padded_offsets[:rank])
    ):
        return None  # of a recurrent layer, for one
    dim = 0 if lead == 1 and sizes[1:3] == (1, 1) else lead
    found = Layout(
        sizes,
        tuple(given.padded_sizes[:rank]),
        tuple(given.strides[:rank]),
        tuple(given.block_sizes[:blocks]),
        tuple(given.block_dims[:blocks]),
    )
    # Pieces must lie whole in the innermost block, and at whole words of 8 bytes.
    innermost = found.block_dims[-1] == dim and found.block_sizes[-1] % PIECE == 0
    even = all(stride % 2 == 0 for size, stride in zip(found.padded, found.strides, strict=True) if size > 1)
    if not (innermost and even and found.is_sound):
        return None
    packing = Packing(weight.begin, found, _panels(sizes, dim, lead), dim)
    return packing if packing.panels.bytes <= packing.size else None


def _panels(sizes: tuple[int, ...], dim: int, lead: int) -> Layout:
    """Panels along `dim`; in them, from the outside: taps, input channels, 16 of `dim`. `lead` dims are of groups."""
    padded = [_up(size) if d == dim else size for d, size in enumerate(sizes)]
    strides = [0] * len(sizes)
    step = PANEL
    for d in (lead + 1, *range(len(sizes) - 1, lead + 1, -1), *range(lead, -1, -1)):
        strides[d] = step
        step *= padded[d] // (PANEL if d == dim else 1)
    return Layout(sizes, tuple(padded), tuple(strides), (PANEL,), (dim,))


def _rearranged(layout: bytes, packing: Packing) -> bytes:
    """oneDNN's descriptor of the weight in its new order."""
    changed = _Descriptor.from_buffer_copy(layout)
    panels, rank = packing.panels, changed.rank
    changed.padded_sizes[:rank] = panels.padded
    changed.strides[:rank] = panels.strides
    changed.block_sizes[:_MAX_DIMS] = (PANEL, *[0] * (_MAX_DIMS - 1))
    changed.block_dims[:_MAX_DIMS] = (packing.dim, *[0] * (_MAX_DIMS - 1))
    changed.blocks = 1
    return bytes(changed) + layout[ctypes.sizeof(_Descriptor) :]


def _up(size: int) -> int:
    """The next multiple of a panel."""
    return -(-size // PANEL) * PANEL
