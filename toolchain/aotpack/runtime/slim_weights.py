"""Weights in the order in which the slim runtime multiplies by them. Pure but for `rearrange`.

Freezing packs them as torch's oneDNN likes them best on the machine of the export. A package keeps that order, in which
torch itself is fast; a bundle with the slim runtime gets another, so that they are used where they are mapped and all
processes share them. Repacked on the target, each process would hold a copy.

- Linear layers: panels of 16 output features (bridge/slim/kernels/matrix/product.h), which the kernels of all
  instruction sets read alike.
- Convolutions of one tap, on a processor with AVX2 and no AVX-512: blocks of 8 x 8, as oneDNN's fastest kernel there
  wants them.
"""

from __future__ import annotations

import ctypes
import math
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from aotpack.errors import DamagedError
from aotpack.package.metadata import ModelMetadata, PackedWeight

#: Output features in a panel; within one, they vary fastest.
PANEL = 16
#: Of output and of input features; within a block, output features vary fastest.
BLOCK = 8

#: float32, as oneDNN numbers it.
_FLOAT32 = 3
#: A layout in blocks, as oneDNN numbers kinds of layouts.
_BLOCKED = 2
_MAX_DIMS = 12
_Dims = ctypes.c_int64 * _MAX_DIMS
#: What is moved at once: output features that follow one another in both orders, as four numbers of 8 bytes.
_WORDS = BLOCK * 4 // 8


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
class Packing:
    """A weight [columns, depth] in torch's order: columns in blocks, in each of which they vary fastest.

    Attributes:
        begin: its first byte in the file.
        columns: output features.
        depth: input features.
        padded_columns: a multiple of `block`.
        padded_depth: input features with those that fill up torch's blocks.
        block: output features in a block, a multiple of `BLOCK`.
        to: output features in a block once it is rearranged: `PANEL`, or `BLOCK` with the depth filled up to it too.
    """

    begin: int
    columns: int
    depth: int
    padded_columns: int
    padded_depth: int
    block: int
    to: int = PANEL

    @property
    def size(self) -> int:
        """Bytes."""
        return self.padded_columns * self.padded_depth * 4

    @property
    def to_columns(self) -> int:
        """Output features once it is rearranged, with those that fill it up."""
        return _up(self.columns, self.to)

    @property
    def to_depth(self) -> int:
        """Input features once it is rearranged, with those that fill it up."""
        return self.depth if self.to == PANEL else _up(self.depth)


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
        if packing is None or (packing.to == BLOCK and "avx512f" in metadata.cpu_features):
            continue
        packings.append(packing)
        layout = _rearranged(given, packing).hex()
        if layout not in layouts:
            layouts.append(layout)
        constants[weight.constant] = replace(constant, layout=layouts.index(layout))
    if not packings:
        return metadata, ()
    changed = replace(metadata, constants=tuple(constants), layouts=tuple(layouts), packed_weights=(), rearranged=True)
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
    per_block = packing.block // BLOCK  # pieces of BLOCK columns, of torch's order and of ours
    per_target = packing.to // BLOCK
    target = bytearray(packing.to_columns * packing.to_depth * 4)
    source, words = memoryview(given).cast("Q"), memoryview(target).cast("Q")
    for number in range(_up(packing.columns) // BLOCK):
        block, part = divmod(number, per_block)
        begin = (block * packing.padded_depth * per_block + part) * _WORDS
        end = begin + packing.depth * per_block * _WORDS
        block, part = divmod(number, per_target)
        to = (block * packing.to_depth * per_target + part) * _WORDS
        to_end = to + packing.depth * per_target * _WORDS
        for word in range(_WORDS):
            words[to + word : to_end : per_target * _WORDS] = source[begin + word : end : per_block * _WORDS]
    return target


def _read(layout: bytes, weight: PackedWeight) -> Packing | None:
    """None for a weight that stays: used otherwise, of several taps, without room, or in an order not known here."""
    if len(layout) < ctypes.sizeof(_Descriptor):
        return None
    given = _Descriptor.from_buffer_copy(layout)
    if (given.dtype, given.format, given.offset) != (_FLOAT32, _BLOCKED, 0):
        return None
    dims: tuple[int, ...]
    if given.rank == 2 and weight.rows is not None:
        # Blocks of depth x columns, one behind the other.
        dims, (inner, block), to = (1, 0), given.block_sizes[:2], PANEL
    elif given.rank == 4 and tuple(given.sizes[2:4]) == (1, 1):
        # A convolution of one tap: blocks of columns only.
        dims, inner, block, to = (0,), 1, given.block_sizes[0], BLOCK
        if given.sizes[1] % BLOCK != 0:
            return None
    else:
        return None
    (columns, depth), (padded_columns, padded_depth) = given.sizes[:2], given.padded_sizes[:2]
    known = (
        (given.blocks, tuple(given.block_dims[: given.blocks])) == (len(dims), dims)
        and block > 0 == block % BLOCK
        and (given.rank == 4 or inner > 0 == inner % BLOCK)
        and tuple(given.strides[:2]) == (block * padded_depth, inner * block)
        and (padded_columns, padded_depth) == (_up(columns, block), _up(depth, inner))
        and min(columns, depth) > 0
    )
    if not known:
        return None
    packing = Packing(weight.begin, columns, depth, padded_columns, padded_depth, block, to)
    return packing if packing.to_columns * packing.to_depth * 4 <= packing.size else None


def _rearranged(layout: bytes, packing: Packing) -> bytes:
    """oneDNN's descriptor of the weight in its new order."""
    changed = _Descriptor.from_buffer_copy(layout)
    sizes, dims = ((PANEL,), (0,)) if packing.to == PANEL else ((BLOCK, BLOCK), (1, 0))
    step = packing.to * packing.to_depth
    changed.padded_sizes[:2] = (packing.to_columns, packing.to_depth)
    changed.strides[: changed.rank] = (step, *[math.prod(sizes)] * (changed.rank - 1))
    changed.blocks = len(sizes)
    changed.block_sizes[:2] = (*sizes, 0)[:2]
    changed.block_dims[:2] = (*dims, 0)[:2]
    return bytes(changed) + layout[ctypes.sizeof(_Descriptor) :]


def _up(size: int, block: int = BLOCK) -> int:
    """The next multiple."""
    return -(-size // block) * block
