"""Device code in a CUDA library: which of it a set of GPUs can use. Pure: bytes in, edits out.

nvcc keeps device code in the section `.nv_fatbin`: *regions*, one a translation unit, each a 16-byte header and
*elements*, one an architecture: a cubin (machine code) or PTX (which the driver compiles at load). Host code points at
the start of each region, so regions stay where they are. A trimmed region has its kept elements moved forward and its
size reduced; what follows them up to the next region is zeros that the caller may turn into a hole of the file.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from enum import IntEnum

_MAGIC = 0xBA55ED50
#: magic, version, bytes of this header, bytes of all elements.
_REGION = struct.Struct("<IHHQ")
#: kind, 0x0101, bytes of this header, bytes of the padded payload, compressed bytes, offset of options, minor and major
#: format version, architecture, offset and bytes of the object's name, flags.
_ELEMENT = struct.Struct("<HHIQIIHHIIIQ")
_ALIGNMENT = 8
_FLAG_EXACT = 0x100000
_FLAG_FAMILY = 0x200000


class Kind(IntEnum):
    """What an element's payload is. Other kinds exist (link-time IR); they are always kept."""

    PTX = 1
    CUBIN = 2


@dataclass(frozen=True, order=True)
class Arch:
    """A GPU or a target of code: `sm_90` is 9.0.

    The suffix of code says where it runs: none, on this and later minors of its major (PTX: on all later ones); `f`,
    the same within its family; `a`, nowhere but there. A GPU has none.
    """

    major: int
    minor: int
    suffix: str = ""

    def __str__(self) -> str:
        return f"sm_{self.major}{self.minor}{self.suffix}"


def parse_arch(text: str) -> Arch:
    """An architecture as written on the command line: `sm_90`, `sm_90a`, `sm_120f`. Raises ValueError for others."""
    found = re.fullmatch(r"sm_([0-9]{1,2})([0-9])([af]?)", text)
    if not found:
        raise ValueError(f"{text!r} is not a CUDA architecture such as sm_90")
    return Arch(int(found[1]), int(found[2]), found[3])


@dataclass(frozen=True)
class Element:
    """One piece of device code. `offset` and `size` (bytes, header included) are within the section."""

    offset: int
    size: int
    kind: int
    arch: Arch


@dataclass(frozen=True)
class Region:
    """The device code of one translation unit. `size` is in bytes, header included."""

    offset: int
    size: int
    header_size: int
    elements: tuple[Element, ...]


def parse(section: bytes | memoryview) -> tuple[Region, ...]:
    """The regions of a `.nv_fatbin` section. Raises ValueError when its structure is not the one described above."""
    return tuple(_regions(memoryview(section)))


def _regions(section: memoryview) -> Iterator[Region]:
    offset = 0
    while offset + _REGION.size <= len(section):
        magic, version, header_size, size = _REGION.unpack_from(section, offset)
        if magic == 0:  # padding, or what an earlier trim left
            offset += _ALIGNMENT
            continue
        end = offset + header_size + size
        if magic != _MAGIC or version != 1 or header_size < _REGION.size or end > len(section):
            raise ValueError(f"no fatbin region at byte {offset} of .nv_fatbin")
        yield Region(offset, end - offset, header_size, tuple(_elements(section, offset + header_size, end)))
        offset = end + -end % _ALIGNMENT


def _elements(section: memoryview, offset: int, end: int) -> Iterator[Element]:
    while offset < end:
        if offset + _ELEMENT.size > end:
            raise ValueError(f"half a fatbin element at byte {offset} of .nv_fatbin")
        kind, _, header_size, payload, *_, number, _, _, flags = _ELEMENT.unpack_from(section, offset)
        size = header_size + payload
        if header_size < _ELEMENT.size or offset + size > end:
            raise ValueError(f"a fatbin element at byte {offset} of .nv_fatbin leaves its region")
        suffix = "a" if flags & _FLAG_EXACT else "f" if flags & _FLAG_FAMILY else ""
        yield Element(offset, size, kind, Arch(number // 10, number % 10, suffix))
        offset += size


def choose(elements: Collection[Element], gpus: Collection[Arch]) -> tuple[Element, ...]:
    """The elements that the driver would pick for one of the GPUs, in their order.

    A region with nothing for any of them keeps its smallest element: to the driver it is then, as before, a well-formed
    region without an image for this GPU.
    """
    wanted = {(element.kind, element.arch) for gpu in gpus for element in _for_gpu(elements, gpu)}
    kept = tuple(
        element for element in elements if element.kind not in set(Kind) or (element.kind, element.arch) in wanted
    )
    return kept or tuple(sorted(elements, key=lambda element: element.size)[:1])


def _for_gpu(elements: Collection[Element], gpu: Arch) -> Iterator[Element]:
    """What one GPU may run: its exact code, the best cubin of each other sort, and PTX only where there is no cubin."""
    cubins = [element for element in elements if element.kind == Kind.CUBIN and runs(element.arch, gpu)]
    for suffix in ("a", "f", ""):
        of_sort = [element for element in cubins if element.arch.suffix == suffix]
        if of_sort:
            yield max(of_sort, key=lambda element: element.arch)
    if not cubins:
        ptx = [element for element in elements if element.kind == Kind.PTX and compiles(element.arch, gpu)]
        if ptx:
            yield max(ptx, key=lambda element: (element.arch.major, element.arch.minor, element.arch.suffix))


def runs(code: Arch, gpu: Arch) -> bool:
    """Whether machine code of one architecture runs on a GPU."""
    if code.suffix == "a":
        return (code.major, code.minor) == (gpu.major, gpu.minor)
    return code.major == gpu.major and code.minor <= gpu.minor


def compiles(code: Arch, gpu: Arch) -> bool:
    """Whether the driver can compile PTX of one architecture for a GPU."""
    if code.suffix:
        return runs(code, gpu)
    return (code.major, code.minor) <= (gpu.major, gpu.minor)


@dataclass(frozen=True)
class Trim:
    """Edits of a section, to be applied in order. Offsets and sizes are in bytes within the section."""

    #: Region offset -> the new value of its size field.
    sizes: tuple[tuple[int, int], ...]
    #: (from, to, bytes): elements that move forward.
    moves: tuple[tuple[int, int, int], ...]
    #: (offset, bytes): to be zeros.
    holes: tuple[tuple[int, int], ...]

    @property
    def saved(self) -> int:
        """Bytes that become zeros."""
        return sum(size for _, size in self.holes)


def trim(section: bytes | memoryview, gpus: Collection[Arch]) -> Trim:
    """The edits that leave in a section what these GPUs can use. Raises ValueError as `parse` does."""
    sizes: list[tuple[int, int]] = []
    moves: list[tuple[int, int, int]] = []
    holes: list[tuple[int, int]] = []
    for region in parse(section):
        kept = choose(region.elements, gpus)
        if len(kept) == len(region.elements):
            continue
        end = region.offset + region.header_size
        for element in kept:
            if element.offset != end:
                moves.append((element.offset, end, element.size))
            end += element.size
        sizes.append((region.offset, end - region.offset - region.header_size))
        holes.append((end, region.offset + region.size - end))
    return Trim(tuple(sizes), tuple(moves), tuple(holes))


def apply(section: memoryview, edits: Trim) -> None:
    """Make the edits in writable memory."""
    for source, target, size in edits.moves:
        section[target : target + size] = bytes(section[source : source + size])
    for offset, size in edits.sizes:
        magic, version, header_size, _ = _REGION.unpack_from(section, offset)
        _REGION.pack_into(section, offset, magic, version, header_size, size)
    for offset, size in edits.holes:
        section[offset : offset + size] = bytes(size)


def architectures(regions: Collection[Region]) -> tuple[str, ...]:
    """What a library has code for, oldest first: `sm_75`, `sm_90a`, and PTX as `compute_120`."""
    found = {(element.arch, element.kind) for region in regions for element in region.elements}
    names = {
        (arch, kind): str(arch) if kind == Kind.CUBIN else str(arch).replace("sm_", "compute_") for arch, kind in found
    }
    return tuple(dict.fromkeys(names[key] for key in sorted(names, key=lambda key: (key[0], -key[1]))))
