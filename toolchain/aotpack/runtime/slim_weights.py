"""Weights in the order in which the slim runtime multiplies fastest by them. Pure but for `rearrange`.

Freezing packs them as torch's oneDNN likes them best. On a processor with AVX2 and no AVX-512, the slim runtime takes
another kernel for convolutions of one tap, and that kernel for linear layers too. It wants blocks of 8 x 8. A package
keeps torch's order, in which torch itself is fast; a bundle with the slim runtime gets them in blocks, so that they are
used where they are mapped and all processes share them. Repacked on the target, each process would hold a copy.

Measured with float32 on AVX2 (oneDNN 3.2, GFLOP/s at one thread, inner product and that kernel): 128 rows x 768 x 768
59 to 75 and 78 to 86, 128 x 768 x 3072 66 to 74 and 84, 128 x 3072 x 768 65 to 78 and 83, 16 x 768 x 768 45 and 54,
512 x 768 x 768 83 and 88. At two threads four rows take 1.2 times as long, sixteen and more 0.7 to 0.95 times.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from aotpack.errors import DamagedError
from aotpack.package.metadata import Constant, ModelMetadata, PackedWeight

#: Of output and of input features; within a block, output features vary fastest.
BLOCK = 8
#: Of a linear layer; fewer stay in torch's order.
FEWEST_ROWS = 8

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
        padded_depth: a multiple of `BLOCK`.
        block: output features in a block, a multiple of `BLOCK`.
    """

    begin: int
    columns: int
    depth: int
    padded_columns: int
    padded_depth: int
    block: int

    @property
    def size(self) -> int:
        """Bytes."""
        return self.padded_columns * self.padded_depth * 4


def for_slim(metadata: ModelMetadata) -> tuple[ModelMetadata, tuple[Packing, ...]]:
    """The metadata as it is true once the returned weights were rearranged."""
    if metadata.machine != "x86_64" or "avx512f" in metadata.cpu_features:
        return metadata, ()
    constants, layouts = list(metadata.constants), list(metadata.layouts)
    packings = []
    for weight in metadata.packed_weights:
        constant = constants[weight.constant]
        if constant.layout is None:
            continue
        given = bytes.fromhex(layouts[constant.layout])
        packing = _read(given, weight)
        if packing is not None:
            packings.append(packing)
            layout = _in_blocks(given, packing).hex()
            if layout not in layouts:
                layouts.append(layout)
            constants[weight.constant] = Constant(constant.shape, layout=layouts.index(layout))
    if not packings:
        return metadata, ()
    changed = replace(metadata, constants=tuple(constants), layouts=tuple(layouts), packed_weights=(), rearranged=True)
    return changed, tuple(packings)


def rearrange(path: Path, packings: tuple[Packing, ...]) -> None:
    """Put weights of a file into blocks, where they are. Raises DamagedError where it does not hold them all."""
    size = path.stat().st_size
    ends = (*(packing.begin for packing in packings[1:]), size)
    with path.open("r+b") as file:
        for packing, end in zip(packings, ends, strict=True):
            if packing.begin + packing.size > min(end, size):
                raise DamagedError(
                    f"{path.name} of {size} bytes has no room for a weight of {packing.size} at {packing.begin}",
                    meaning="the package was cut off, or its weights belong to another model",
                    fix="export the model again: aotpack export FILE.py:FUNCTION --profile slim",
                )
            file.seek(packing.begin)
            given = file.read(packing.size)
            file.seek(packing.begin)
            file.write(in_blocks(given, packing))


def in_blocks(given: bytes, packing: Packing) -> bytearray:
    """A weight in blocks, from one in torch's order. Sizes that are no multiples are filled up with zeros."""
    depth = _up(packing.depth)
    parts = packing.block // BLOCK  # of a block of torch's order
    target = bytearray(_up(packing.columns) * depth * 4)
    source, words = memoryview(given).cast("Q"), memoryview(target).cast("Q")
    for number in range(_up(packing.columns) // BLOCK):
        block, part = divmod(number, parts)
        begin = (block * packing.padded_depth * parts + part) * _WORDS
        end = begin + depth * parts * _WORDS
        for word in range(_WORDS):
            to = number * depth * _WORDS + word
            words[to : to + depth * _WORDS : _WORDS] = source[begin + word : end : parts * _WORDS]
    return target


def _read(layout: bytes, weight: PackedWeight) -> Packing | None:
    """None for a weight that stays as it is: of few rows, of several taps, or in an order that is not known here."""
    if len(layout) < ctypes.sizeof(_Descriptor):
        return None
    given = _Descriptor.from_buffer_copy(layout)
    if (given.dtype, given.format, given.offset) != (_FLOAT32, _BLOCKED, 0):
        return None
    dims: tuple[int, ...]
    if given.rank == 2 and weight.rows is not None and not 0 < weight.rows < FEWEST_ROWS:
        # Blocks of depth x columns, one behind the other.
        dims, (inner, block) = (1, 0), given.block_sizes[:2]
    elif given.rank == 4 and tuple(given.sizes[2:4]) == (1, 1):
        # A convolution of one tap: blocks of columns only.
        dims, inner, block = (0,), 1, given.block_sizes[0]
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
    return Packing(weight.begin, columns, depth, padded_columns, padded_depth, block) if known else None


def _in_blocks(layout: bytes, packing: Packing) -> bytes:
    """oneDNN's descriptor of the weight once it is in blocks."""
    changed = _Descriptor.from_buffer_copy(layout)
    changed.padded_sizes[:2] = (_up(packing.columns), _up(packing.depth))
    changed.strides[: changed.rank] = (_up(packing.depth) * BLOCK, *[BLOCK * BLOCK] * (changed.rank - 1))
    changed.blocks = 2
    changed.block_sizes[:2] = (BLOCK, BLOCK)
    changed.block_dims[:2] = (1, 0)
    return bytes(changed) + layout[ctypes.sizeof(_Descriptor) :]


def _up(size: int, block: int = BLOCK) -> int:
    """The next multiple."""
    return -(-size // block) * block
