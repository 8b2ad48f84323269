"""What a library of torch's does when it is loaded, and leaving out of it what a compiled model never calls.

Most of the time from spawn to a first output goes into libtorch_cpu's initialisers: thousands of kernels are registered
for autograd, tracing, batching and the like. A compiled model calls none of them, for what would call them is a Python
program, or the interpreter of TorchScript. So those initialisers are taken off the list that the loader runs; code and
data stay as they are, and so does every op with its kernels for tensors.

Which initialiser registers what is told by the library's static symbols: those of one source file follow its name, and
torch's registration macros name their objects after library and dispatch key. A library without them, or one whose list
has another form than expected, is left as it is.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from elftools.elf.dynamic import DynamicSegment
from elftools.elf.elffile import ELFFile
from elftools.elf.enums import ENUM_E_MACHINE
from elftools.elf.sections import SymbolTableSection

from aotpack.elf.symbols import RELATIVE, SYMBOL
from aotpack.patterns import matches_any

#: `TORCH_LIBRARY_IMPL(library, key, m)` blocks that a compiled model cannot come to. `_` stands for all libraries: the
#: rule for ops that have no kernel of their own for the key. Of autograd and its companion those stay, because plain
#: tensors carry the keys; they hand every call on to the kernel below.
UNUSED_KEYS = (
    "aten::Autograd*",
    "aten::ADInplaceOrView",
    # Reached only where something switches the key on for a thread: torch.jit.trace, functionalization, torch.func,
    # torch.autocast, subclasses of tensors written in Python.
    *(
        f"{library}::{key}"
        for library in ("aten", "_")
        for key in (
            "Tracer",
            "Functionalize",
            "FuncTorch*",
            "Batched*",
            "VmapMode",
            "Autocast*",
            "Python*",
            "PreDispatch",
        )
    ),
)

#: Source files whose initialisers serve TorchScript alone: the ops of its interpreter, and oneDNN's graph compiler.
UNUSED_SOURCES = (
    "register_prim_ops*.cpp",
    "register_special_ops.cpp",
    "register_c10_ops.cpp",
    "dnnl_backend.cpp",
    "fake_backend.cpp",
)

_MACRO = re.compile(rb"TORCH_LIBRARY_(?:(IMPL|FRAGMENT)_)?static_init_(\w+?)(?:_\d+)?E?$")
_RELA = struct.Struct("<QQq")
_WORD = 8
_FUNCTION, _OBJECT, _FILE = 2, 1, 4


@dataclass
class Unit:
    """One source file of a library."""

    source: str
    #: Addresses of its functions that are on the list.
    initialisers: list[int] = field(default_factory=list)
    #: `library::key` of each block of kernels; `library` alone where ops are defined.
    registers: list[str] = field(default_factory=list)


def is_unused(unit: Unit) -> bool:
    """Whether nothing that a unit registers is of use to a compiled model."""
    if unit.registers:
        return all(matches_any(name, UNUSED_KEYS) for name in unit.registers)
    return matches_any(unit.source, UNUSED_SOURCES)


def shorten(path: Path, symbols_of: Path) -> tuple[str, ...]:
    """Take unused initialisers off a library's list, in place.

    Args:
        path: the library, which may be stripped.
        symbols_of: the same library with its static symbols.

    Returns:
        Names of the source files whose initialisers no longer run; empty when nothing was changed.
    """
    with path.open("r+b") as stream:
        found = _find_list(ELFFile(stream))
        if found is None:
            return ()
        with symbols_of.open("rb") as other:
            units = list(read_units(ELFFile(other), set(found.functions)))
        unused = [unit for unit in units if unit.initialisers and is_unused(unit)]
        gone = {address for unit in unused for address in unit.initialisers}
        kept = [address for address in found.functions if address not in gone]
        if len(kept) == len(found.functions):
            return ()
        # The loader relocates all places of the list and runs as many as its size says: the first ones.
        for place, address in zip(found.places, kept, strict=False):
            stream.seek(place)
            stream.write(struct.pack("<q", address))
        stream.seek(found.size_place)
        stream.write(struct.pack("<Q", len(kept) * _WORD))
    return tuple(unit.source for unit in unused)


@dataclass(frozen=True)
class _List:
    """DT_INIT_ARRAY, whose content is in the relocations."""

    #: Addresses, in the order in which they run.
    functions: list[int]
    #: Offset in the file of each one.
    places: list[int]
    #: Offset in the file of the list's size.
    size_place: int


def _find_list(elf: ELFFile) -> _List | None:
    """The list of initialisers; None when it has a form that is not known here."""
    relative = RELATIVE.get(ENUM_E_MACHINE.get(elf["e_machine"], 0))
    dynamic = next((part for part in elf.iter_segments() if isinstance(part, DynamicSegment)), None)
    if relative is None or dynamic is None or elf.elfclass != 64 or not elf.little_endian:
        return None
    tags: dict[str, int] = {}
    size_place = 0
    tag: Any
    for index, tag in enumerate(dynamic.iter_tags()):
        tags[str(tag.entry.d_tag)] = tag.entry.d_val
        if tag.entry.d_tag == "DT_INIT_ARRAYSZ":
            size_place = dynamic["p_offset"] + index * 2 * _WORD + _WORD
    if not tags.keys() >= {"DT_INIT_ARRAY", "DT_INIT_ARRAYSZ", "DT_RELA", "DT_RELASZ"}:
        return None
    start, count = tags["DT_INIT_ARRAY"], tags["DT_INIT_ARRAYSZ"] // _WORD
    table = next(iter(elf.address_offsets(tags["DT_RELA"], tags["DT_RELASZ"])), None)
    if table is None:
        return None
    elf.stream.seek(table)
    entries: dict[int, tuple[int, int]] = {}
    for index, (address, info, addend) in enumerate(_RELA.iter_unpack(elf.stream.read(tags["DT_RELASZ"]))):
        if start <= address < start + count * _WORD:
            if info != relative or address in entries:
                return None
            entries[address] = (addend, table + index * _RELA.size + 2 * _WORD)
    if len(entries) != count:
        return None
    ordered = [entries[address] for address in sorted(entries)]
    return _List([function for function, _ in ordered], [place for _, place in ordered], size_place)


def read_units(elf: ELFFile, initialisers: set[int]) -> Iterator[Unit]:
    """The source files of a library, by its static symbols. `initialisers` are the functions on its list."""
    table = elf.get_section_by_name(".symtab")
    if not isinstance(table, SymbolTableSection):
        return
    names = table.stringtable.data()
    unit: Unit | None = None
    for name, info, _, _, value, _ in SYMBOL.iter_unpack(table.data()):
        kind = info & 0xF
        if info >> 4:  # local symbols come first
            break
        if kind == _FILE:
            if unit is not None:
                yield unit
            unit = Unit(_text(names, name).decode(errors="replace"))
        elif unit is None:
            continue
        elif kind == _FUNCTION:
            if value in initialisers:
                unit.initialisers.append(value)
        elif kind == _OBJECT:
            registration = registration_of(_text(names, name))
            if registration:
                unit.registers.append(registration)
    if unit is not None:
        yield unit


def _text(names: bytes, start: int) -> bytes:
    return names[start : names.index(b"\0", start)]


def registration_of(symbol: bytes) -> str | None:
    """What the object of a registration macro registers: `library::key`, or `library` where it defines ops."""
    match = _MACRO.search(symbol)
    if match is None:
        return None
    name = match[2].decode()
    library, _, key = name.rpartition("_")
    return f"{library}::{key}" if match[1] == b"IMPL" else name
