"""Other names for what an ELF file imports, written over the ones it has: nothing in the file moves.

A process may hold several runtimes. The loader takes a function from whoever has one of that name first, so what must
come from one's own runtime needs a name that nobody else has.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from elftools.elf.dynamic import DynamicSegment
from elftools.elf.elffile import ELFFile
from elftools.elf.gnuversions import GNUVerDefSection, GNUVerNeedSection
from elftools.elf.sections import SymbolTableSection

from aotpack.errors import BuildToolError


@dataclass(frozen=True)
class Renaming:
    """Beginnings of names, and names of libraries, with what takes their places. Both are equally long.

    Attributes:
        prefixes: of imported functions: pairs of old and new.
        libraries: sonames that the file needs: pairs of old and new.
    """

    prefixes: tuple[tuple[str, str], ...] = ()
    libraries: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        """Raises ValueError where lengths differ."""
        for old, new in (*self.prefixes, *self.libraries):
            if len(old) != len(new):
                raise ValueError(f"{old} and {new} are not equally long")

    def __bool__(self) -> bool:
        return bool(self.prefixes or self.libraries)

    def library_of(self, soname: str) -> str:
        """What a library is called then."""
        return dict(self.libraries).get(soname, soname)

    def name_of(self, symbol: str) -> str:
        """What an imported function is called then."""
        for old, new in self.prefixes:
            if symbol.startswith(old):
                return new + symbol.removeprefix(old)
        return symbol


def rename(path: Path, renaming: Renaming) -> None:
    """Rename in place. Raises BuildToolError where a name shares its bytes with one that must stay."""
    with path.open("r+b") as stream:
        elf = ELFFile(stream)
        names = _names(elf)
        if names is None:
            return
        data, start, imports, libraries, others = names
        changes: dict[int, bytes] = {}
        for offset in imports:
            symbol = _text(data, offset)
            new = renaming.name_of(symbol)
            if new != symbol:
                changes[offset] = new.encode()
        for offset in libraries:
            soname = _text(data, offset)
            if renaming.library_of(soname) != soname:
                changes[offset] = renaming.library_of(soname).encode()
        others |= (imports | libraries) - changes.keys()
        _refuse_shared(path, data, changes, others)
        for offset, new_name in changes.items():
            stream.seek(start + offset)
            stream.write(new_name)


def _names(elf: ELFFile) -> tuple[bytes, int, set[int], set[int], set[int]] | None:
    """The dynamic strings, where they lie, and the offsets of imports, of needed libraries, and of all others."""
    table = next((s for s in elf.iter_sections("SHT_DYNSYM") if isinstance(s, SymbolTableSection)), None)
    dynamic = next((segment for segment in elf.iter_segments() if isinstance(segment, DynamicSegment)), None)
    if table is None or dynamic is None:
        return None
    imports: set[int] = set()
    others: set[int] = set()
    for symbol in table.iter_symbols():
        (imports if symbol["st_shndx"] == "SHN_UNDEF" else others).add(int(symbol["st_name"]))
    libraries: set[int] = set()
    tag: Any
    for tag in dynamic.iter_tags():
        if tag.entry.d_tag == "DT_NEEDED":
            libraries.add(tag.entry.d_val)
        elif tag.entry.d_tag in ("DT_SONAME", "DT_RPATH", "DT_RUNPATH"):
            others.add(tag.entry.d_val)
    for section in elf.iter_sections():
        if isinstance(section, GNUVerNeedSection):
            for provider, versions in section.iter_versions():
                libraries.add(provider["vn_file"])
                others |= {version["vna_name"] for version in versions}
        elif isinstance(section, GNUVerDefSection):
            others |= {name["vda_name"] for _, versions in section.iter_versions() for name in versions}
    strings: Any = table.stringtable
    imports.discard(0)
    others.discard(0)
    return strings.data(), int(strings["sh_offset"]), imports, libraries, others


def _refuse_shared(path: Path, data: bytes, changes: Mapping[int, bytes], others: set[int]) -> None:
    """The linker lets a name that is another's end lie within it."""
    for offset, new in changes.items():
        for other, its in changes.items():
            inside = other - offset
            if 0 < inside < len(new) and new[inside : inside + len(its)] != its:
                raise _shared(path, _text(data, other))
    changed = {place for offset, new in changes.items() for place in _differing(data, offset, new)}
    for offset in others:
        if not changed.isdisjoint(range(offset, data.index(b"\0", offset))):
            raise _shared(path, _text(data, offset))


def _shared(path: Path, name: str) -> BuildToolError:
    return BuildToolError(
        f"{path.name}: the name {name} lies within one that is to be changed",
        meaning="the library cannot be pointed to the runtime of this bundle",
        fix="build with --runtime full",
    )


def _differing(data: bytes, offset: int, new: bytes) -> Iterator[int]:
    return (offset + i for i, byte in enumerate(new) if data[offset + i] != byte)


def _text(data: bytes, offset: int) -> str:
    return data[offset : data.index(b"\0", offset)].decode()
