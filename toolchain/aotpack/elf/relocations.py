"""Makes an ELF file of a bundled interpreter smaller, without a linker.

Two things in an interpreter's library take up room that nothing needs. A relocation of 24 bytes for each pointer in its
data says "add the load address here": DT_RELR, which glibc's loader reads from 2.36 on, says the same with a bit for
each. (Pointers to the library's own symbols count: nothing else in a bundle defines them.) And unwind tables serve C++
exceptions, which never pass through an interpreter written in C; at the end of a thread glibc takes a frame without
tables for the outermost one.

Both lie at the end of a segment, so the segment ends earlier and the rest of the file moves up by whole pages; no
address in memory changes. A file that is laid out in another way stays as it is.

What it is worth, for examples/mlp.py with CPython 3.11: of a slim bundle 1.26 of 17.14 MB (relocations 0.86, tables
0.39), and 0.24 of 5.04 MB as tar.zst -19. That is 7 and 5 %, without which neither would keep the limits in
benchmarks/RESULTS.md. Of a full bundle it is 0.3 %, and a start's processor time is the same to 1 %: for full bundles
alone, or for starting faster, this would not be worth its lines.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from aotpack.elf.symbols import RELATIVE, SYMBOL

_PAGE = 0x1000
_PT_NULL, _PT_LOAD, _PT_DYNAMIC, _PT_GNU_EH_FRAME = 0, 1, 2, 0x6474E550
_DT_NULL, _DT_STRTAB, _DT_RELA, _DT_RELASZ, _DT_STRSZ, _DT_JMPREL = 0, 5, 7, 8, 10, 23
_DT_RELRSZ, _DT_RELR, _DT_RELRENT = 35, 36, 37
_DT_VERSYM, _DT_RELACOUNT, _DT_VERNEED = 0x6FFFFFF0, 0x6FFFFFF9, 0x6FFFFFFE
#: By e_machine: add a symbol's address; copy a symbol's data into the program.
_ABSOLUTE = {62: 1, 183: 257}
_COPY = {62: 5, 183: 1024}
#: Types of symbols whose address is their value: none, object, function.
_PLAIN_SYMBOLS = (0, 1, 2)
#: What glibc asks a file with DT_RELR to want of libc, so that older ones refuse it.
_RELR_VERSION = b"GLIBC_ABI_DT_RELR"
_LIBC = b"libc.so.6"

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SEGMENT = struct.Struct("<IIQQQQQQ")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_TAG = struct.Struct("<qQ")
_RELA = struct.Struct("<QQq")
_VERNEED = struct.Struct("<HHIII")
_VERNAUX = struct.Struct("<IHHII")


class _OtherLayoutError(Exception):
    """Not laid out as linkers lay out libraries."""


@dataclass
class _Segment:
    kind: int
    flags: int
    offset: int
    address: int
    physical: int
    size: int
    memory: int
    align: int


@dataclass
class _Section:
    name: str
    fields: list[int]

    @property
    def address(self) -> int:
        return self.fields[3]

    @property
    def offset(self) -> int:
        return self.fields[4]

    @property
    def size(self) -> int:
        return self.fields[5]


def pack(path: Path) -> None:
    """Make a file smaller in place, for a loader of glibc 2.36 or newer; leaves it alone where it does not know how."""
    content = path.read_bytes()
    packed = packed_bytes(content)
    if len(packed) < len(content):
        path.write_bytes(packed)


def is_read_by(libc: Path) -> bool:
    """Whether this libc's loader reads packed files."""
    return _RELR_VERSION in libc.read_bytes()


def copies_data(program: Path) -> bool:
    """Whether a program has copies of a library's variables: then the library's own pointers must lead to those."""
    file = _File(program.read_bytes())
    for section in file.sections:
        if section.name == ".rela.dyn":
            entries = _RELA.iter_unpack(file.data[section.offset : section.offset + section.size])
            return any(info & 0xFFFFFFFF == _COPY[file.machine] for _, info, _ in entries)
    return False


def packed_bytes(content: bytes) -> bytes:
    """The same library in fewer bytes, or `content` itself. Pure."""
    for step in (_without_unwind_tables, _with_short_relocations):
        try:
            content = step(content)
        except (_OtherLayoutError, struct.error, StopIteration, IndexError):
            continue
    return content


class _File:
    """A 64-bit little-endian ELF file taken apart."""

    def __init__(self, content: bytes) -> None:
        self.data = bytearray(content)
        head = _HEADER.unpack_from(content)
        if head[0][:6] != b"\x7fELF\x02\x01" or head[2] not in RELATIVE:
            raise _OtherLayoutError
        self.machine, self.segments_at, self.sections_at = head[2], head[5], head[6]
        self.segments = [_Segment(*_SEGMENT.unpack_from(content, self.segments_at + 56 * i)) for i in range(head[10])]
        fields = [list(_SECTION.unpack_from(content, self.sections_at + 64 * i)) for i in range(head[12])]
        names = fields[head[13]][4]
        self.sections = [_Section(self._text(names + field[0]).decode(), field) for field in fields]

    def _text(self, at: int) -> bytes:
        return bytes(self.data[at : self.data.index(0, at)])

    def section(self, name: str) -> _Section:
        return next(section for section in self.sections if section.name == name)

    def segment_of(self, section: _Section) -> _Segment:
        """The loaded segment that a section lies in, which no other shares pages of the file with."""
        found = next(
            s for s in self.segments if s.kind == _PT_LOAD and s.address <= section.address < s.address + s.size
        )
        if found.size != found.memory or found.align != _PAGE:
            raise _OtherLayoutError
        return found

    def tail(self, *names: str) -> _Segment:
        """The segment that ends with these sections, in this order, and holds nothing behind them."""
        sections = [self.section(name) for name in names]
        segment = self.segment_of(sections[0])
        inside = [s for s in self.sections if segment.address <= s.address < segment.address + segment.size]
        if [s.name for s in sorted(inside, key=lambda s: s.address)[-len(names) :]] != list(names):
            raise _OtherLayoutError
        return segment

    def cut(self, segment: _Segment, end: int) -> bytes:
        """The file with a segment that ends at an offset; all behind it moves up by whole pages."""
        old_end = segment.offset + segment.size
        behind = min(s.offset for s in self.segments if s.kind == _PT_LOAD and s.offset >= old_end)
        # Where the next segment begins within its page says how far up it can go.
        start = end + (behind - end) % _PAGE
        moved = behind - start
        segment.size = segment.memory = end - segment.offset
        for other in self.segments:
            other.offset -= moved if other.offset >= behind else 0
        for section in self.sections:
            section.fields[4] -= moved if section.offset >= behind else 0
        self.sections_at -= moved
        self.data[end:behind] = bytes(start - end)
        return self._written()

    def _written(self) -> bytes:
        struct.pack_into("<Q", self.data, 40, self.sections_at)
        for i, segment in enumerate(self.segments):
            _SEGMENT.pack_into(self.data, self.segments_at + 56 * i, *vars(segment).values())
        for i, section in enumerate(self.sections):
            _SECTION.pack_into(self.data, self.sections_at + 64 * i, *section.fields)
        return bytes(self.data)


def _without_unwind_tables(content: bytes) -> bytes:
    file = _File(content)
    segment = file.tail(".eh_frame_hdr", ".eh_frame")
    first = file.section(".eh_frame_hdr")
    for other in file.segments:
        if other.kind == _PT_GNU_EH_FRAME:
            other.kind = _PT_NULL
    end = first.offset
    for name in (".eh_frame_hdr", ".eh_frame"):
        # An empty section in its place: numbers of sections stay what they were.
        section = file.section(name)
        section.fields[4], section.fields[5] = end, 0
    return file.cut(segment, end)


def _with_short_relocations(content: bytes) -> bytes:
    file = _File(content)
    names = (".dynstr", ".gnu.version", ".gnu.version_r", ".rela.dyn", ".rela.plt")
    segment = file.tail(*names)
    strings, versions, needs, relocations, plt = (file.section(name) for name in names)
    entries = list(_RELA.iter_unpack(file.data[relocations.offset : relocations.offset + relocations.size]))
    relative: dict[int, int] = {}
    others = []
    for place, info, addend in entries:
        value = _offset(file, info, addend)
        if value is None or place % 8:
            others.append((place, info, addend))
        else:
            relative[place] = value
    for place, value in relative.items():
        home = next(
            s for s in file.segments if s.kind == _PT_LOAD and s.address <= place and place + 8 <= s.address + s.size
        )
        struct.pack_into("<q", file.data, home.offset + place - home.address, value)
    words = list(relr(sorted(relative)))
    texts = bytes(file.data[strings.offset : strings.offset + strings.size])
    wanted, number = _wanting_relr(
        bytes(file.data[needs.offset : needs.offset + needs.size]), texts, len(texts), file, versions
    )
    parts = (
        texts + _RELR_VERSION + b"\0",
        bytes(file.data[versions.offset : versions.offset + versions.size]),
        wanted,
        struct.pack(f"<{len(words)}Q", *words),
        b"".join(_RELA.pack(*entry) for entry in others),
        bytes(file.data[plt.offset : plt.offset + plt.size]),
    )
    places = []
    at = strings.offset
    for part in parts:
        at += -at % 8
        places.append(at)
        file.data[at : at + len(part)] = part
        at += len(part)
    if at > segment.offset + segment.size:
        raise _OtherLayoutError
    base = segment.address - segment.offset
    for section, where, part in zip(
        (strings, versions, needs, relocations, plt), (*places[:3], *places[4:]), (*parts[:3], *parts[4:]), strict=True
    ):
        section.fields[3:6] = [base + where, where, len(part)]
    needs.fields[7] = number
    new = {
        _DT_STRTAB: base + places[0],
        _DT_STRSZ: len(parts[0]),
        _DT_VERSYM: base + places[1],
        _DT_VERNEED: base + places[2],
        _DT_RELR: base + places[3],
        _DT_RELRSZ: len(parts[3]),
        _DT_RELRENT: 8,
        _DT_RELA: base + places[4],
        _DT_RELASZ: len(parts[4]),
        _DT_JMPREL: base + places[5],
    }
    _retag(file, new)
    return file.cut(segment, at)


def _offset(file: _File, info: int, addend: int) -> int | None:
    """What a relocation writes, less the load address; None where that takes a look into other files."""
    kind, number = info & 0xFFFFFFFF, info >> 32
    if kind == RELATIVE[file.machine]:
        return addend
    if kind != _ABSOLUTE[file.machine] or not number:
        return None
    _, flags, _, home, value, _ = SYMBOL.unpack_from(file.data, file.section(".dynsym").offset + SYMBOL.size * number)
    defined = 0 < home < 0xFF00
    return value + addend if defined and flags & 0xF in _PLAIN_SYMBOLS else None


def _retag(file: _File, new: dict[int, int]) -> None:
    """Change tags of the dynamic section, and add those that are not there to its spare room."""
    dynamic = next(s for s in file.segments if s.kind == _PT_DYNAMIC)
    room = dynamic.size // _TAG.size
    tags = [_TAG.unpack_from(file.data, dynamic.offset + _TAG.size * i) for i in range(room)]
    kept = [(tag, new.pop(tag, value)) for tag, value in tags if tag not in (_DT_NULL, _DT_RELACOUNT)]
    kept += new.items()
    if len(kept) >= room:
        raise _OtherLayoutError
    kept += [(_DT_NULL, 0)] * (room - len(kept))
    for i, tag in enumerate(kept):
        _TAG.pack_into(file.data, dynamic.offset + _TAG.size * i, *tag)


def _wanting_relr(table: bytes, texts: bytes, text: int, file: _File, versions: _Section) -> tuple[bytes, int]:
    """The table of wanted versions with one more of libc, whose name is at `text`; and how many libraries it names."""
    indices = struct.unpack_from(f"<{versions.size // 2}H", file.data, versions.offset)
    providers: list[tuple[tuple[int, ...], list[tuple[int, ...]]]] = []
    at = 0
    while True:
        head = _VERNEED.unpack_from(table, at)
        wants, aux = [], at + head[3]
        for _ in range(head[1]):
            want = _VERNAUX.unpack_from(table, aux)
            wants.append(want)
            aux += want[4]
        providers.append((head, wants))
        if not head[4]:
            break
        at += head[4]
    index = max([*(index & 0x7FFF for index in indices), *(want[2] for _, wants in providers for want in wants)]) + 1
    libc = next(i for i, (head, _) in enumerate(providers) if texts[head[2] : texts.index(0, head[2])] == _LIBC)
    providers[libc][1].append((_elf_hash(_RELR_VERSION), 0, index, text, 0))
    written = b""
    for i, (head, wants) in enumerate(providers):
        size = _VERNEED.size + _VERNAUX.size * len(wants)
        following = 0 if i == len(providers) - 1 else size
        written += _VERNEED.pack(head[0], len(wants), head[2], _VERNEED.size, following)
        for j, want in enumerate(wants):
            written += _VERNAUX.pack(*want[:4], 0 if j == len(wants) - 1 else _VERNAUX.size)
    return written, len(providers)


def _elf_hash(name: bytes) -> int:
    value = 0
    for byte in name:
        value = (value << 4) + byte
        value = (value ^ (value >> 24 & 0xF0)) & 0x0FFFFFFF
    return value


def relr(places: Sequence[int]) -> Iterator[int]:
    """Ascending multiples of 8 as DT_RELR has them: an address, then bitmaps of 63 words each that follow it. Pure."""
    i = 0
    while i < len(places):
        yield places[i]
        base = places[i] + 8
        i += 1
        while True:
            bits = 0
            while i < len(places) and places[i] - base < 63 * 8:
                bits |= 1 << ((places[i] - base) // 8)
                i += 1
            if not bits:
                break
            yield bits << 1 | 1
            base += 63 * 8
