"""What lies behind the end of an ELF file: AOTInductor may put weights there, which the model's code maps itself."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

#: What is behind is mapped by offset: it keeps its place within the largest page that a machine may have.
_ALIGNMENT = 1 << 16

_CHUNK = 1 << 20


def elf_size(path: Path) -> int:
    """Bytes of a file that its ELF headers speak of; all of one that has no readable ones."""
    with path.open("rb") as stream:
        try:
            elf = ELFFile(stream)
            ends: list[int] = [elf["e_ehsize"], elf["e_shoff"] + elf["e_shnum"] * elf["e_shentsize"]]
            ends += [segment["p_offset"] + segment["p_filesz"] for segment in elf.iter_segments()]
            ends += [
                section["sh_offset"] + section["sh_size"]
                for section in elf.iter_sections()
                if section["sh_type"] != "SHT_NOBITS"
            ]
        except ELFError:
            return path.stat().st_size
    return max(ends)


@contextmanager
def set_aside(path: Path) -> Iterator[Path]:
    """Gives the file to edit in place of `path`: one without what is appended, which follows again afterwards."""
    end = elf_size(path)
    if end >= path.stat().st_size:
        yield path
        return
    part = path.with_name(f"{path.name}.code")
    try:
        with path.open("rb") as source, part.open("wb") as target:
            left = end
            while chunk := source.read(min(_CHUNK, left)):
                target.write(chunk)
                left -= len(chunk)
        yield part
        with path.open("rb") as source, part.open("ab") as target:
            source.seek(end)
            target.write(bytes((end - target.tell()) % _ALIGNMENT))
            shutil.copyfileobj(source, target, _CHUNK)
        shutil.copymode(path, part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
