"""Dynamic symbols of an ELF file: what it imports and exports."""

from __future__ import annotations

import struct
from array import array
from dataclasses import dataclass
from pathlib import Path

from elftools.elf.elffile import ELFFile
from elftools.elf.gnuversions import GNUVerNeedSection
from elftools.elf.sections import SymbolTableSection


@dataclass(frozen=True, order=True)
class Symbol:
    """A dynamic symbol. `version` and `provider` (a soname) are those that an importer asks for, if any."""

    name: str
    version: str | None = None
    provider: str | None = None
    #: Bytes of a variable, 0 for a function.
    size: int = 0


@dataclass(frozen=True)
class Symbols:
    """What one library imports and exports. Exports carry no provider."""

    imports: frozenset[Symbol]
    exports: frozenset[Symbol]


#: ELF64: offset of the name, binding and type, visibility, section, value, bytes. Read in bulk, since libtorch has
#: a hundred thousand of them.
SYMBOL = struct.Struct("<IBBHQQ")
#: By e_machine: the type of a relocation that adds the load address.
RELATIVE = {62: 8, 183: 1027}


_LOCAL, _VARIABLE, _THREAD_LOCAL, _UNDEFINED = 0, 1, 6, 0


def read_symbols(path: Path) -> Symbols:
    """The dynamic symbols of a 64-bit little-endian file."""
    imports: set[Symbol] = set()
    exports: set[Symbol] = set()
    with path.open("rb") as stream:
        elf = ELFFile(stream)
        table = elf.get_section_by_name(".dynsym")
        if table is None:
            return Symbols(frozenset(), frozenset())
        entries, names = table.data(), elf.get_section(table["sh_link"]).data()
        needs = _version_needs(elf)
        versions = elf.get_section_by_name(".gnu.version")
        numbers = array("H", versions.data() if versions else bytes(2 * (len(entries) // SYMBOL.size)))
        for (offset, info, _, section, _, size), number in zip(SYMBOL.iter_unpack(entries), numbers, strict=True):
            name = names[offset : names.index(b"\0", offset)].decode()
            if not name or info >> 4 == _LOCAL:
                continue
            if section == _UNDEFINED:
                imports.add(Symbol(name, *needs.get(number, (None, None))))
            else:
                exports.add(Symbol(name, size=size if info & 15 in (_VARIABLE, _THREAD_LOCAL) else 0))
    return Symbols(frozenset(imports), frozenset(exports))


def _version_needs(elf: ELFFile) -> dict[int, tuple[str, str]]:
    """Number in `.gnu.version` -> (version, soname of its provider)."""
    section = elf.get_section_by_name(".gnu.version_r")
    if not isinstance(section, GNUVerNeedSection):
        return {}
    return {
        version["vna_other"]: (str(version.name), str(provider.name))
        for provider, versions in section.iter_versions()
        for version in versions
    }


def imported_names(elf: ELFFile) -> tuple[str, ...]:
    """The names of all dynamic symbols that a file imports, sorted."""
    names = {
        symbol.name
        for section in elf.iter_sections("SHT_DYNSYM")
        if isinstance(section, SymbolTableSection)
        for symbol in section.iter_symbols()
        if symbol["st_shndx"] == "SHN_UNDEF" and symbol.name
    }
    return tuple(sorted(names))
