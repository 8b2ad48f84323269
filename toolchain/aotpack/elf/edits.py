"""Changing a copy of an ELF file: search path, soname, symbols, device code, alignment."""

from __future__ import annotations

import shutil
import struct
from dataclasses import dataclass, field
from pathlib import Path

from elftools.elf.constants import SH_FLAGS
from elftools.elf.elffile import ELFFile

from aotpack.elf import appended, initialisers, relocations
from aotpack.elf.facts import read_elf
from aotpack.elf.renaming import Renaming, rename
from aotpack.errors import BuildToolError
from aotpack.gpu import fatbin, trimming
from aotpack.tools.programs import find_program
from aotpack.tools.running import run_tool

#: Bytes of a page of memory, where all machines of a kind have the same.
_PAGES = {"EM_X86_64": 0x1000}


#: Within an entry of a 64-bit program header.
_P_ALIGN = 48


@dataclass(frozen=True)
class ElfEdit:
    """Changes to make to one copied file, applied together."""

    #: Drop static symbols and debug information.
    strip: bool = False
    #: Run fewer initialisers: those that a compiled model has a use for.
    shorten_start: bool = False
    #: The new search path, `$ORIGIN`-relative; the tag kind (RPATH or RUNPATH) stays what it was.
    search_path: str | None = None
    add_needed: tuple[str, ...] = ()
    remove_needed: tuple[str, ...] = ()
    #: Other names for what it imports; after the sonames above.
    renaming: Renaming = field(default_factory=Renaming)
    #: Ask for an ordinary stack: hardened kernels, and glibc from 2.41 on, refuse a library that wants to execute its.
    clear_executable_stack: bool = False
    #: GPUs whose device code stays, such as `sm_90`; empty keeps all.
    device_code_for: tuple[str, ...] = ()
    #: For a bundle's own loader alone: relocations in its short form, no unwind tables.
    pack: bool = False

    def __bool__(self) -> bool:
        return self != ElfEdit()


def apply_edit(path: Path, edit: ElfEdit, original: Path) -> None:
    """Edit a file in place; `original` is the same library as it was, with its static symbols.

    What is appended to the ELF file stays, at the same place within a page.

    Raises:
        BuildToolError: strip or patchelf is missing or fails.
    """
    with appended.set_aside(path) as elf:
        _apply(elf, edit, original)


def _apply(path: Path, edit: ElfEdit, original: Path) -> None:
    # First strip, then patch: patchelf moves sections in ways that older versions of strip undo.
    if edit.strip:
        strip_copy(path, path)
    arguments: list[str] = []
    if edit.search_path is not None:
        if read_elf(path).rpath:
            arguments.append("--force-rpath")  # else patchelf turns RPATH into RUNPATH, which is not inherited
        arguments += ["--set-rpath", edit.search_path]
    for soname in edit.remove_needed:
        arguments += ["--remove-needed", soname]
    for soname in edit.add_needed:
        arguments += ["--add-needed", soname]
    if edit.clear_executable_stack:
        arguments.append("--clear-execstack")
    if arguments:
        _align_to_pages(path)
        run_tool([find_program("patchelf"), *arguments, str(path)], writes=path)
    if edit.renaming:
        rename(path, edit.renaming)
    if edit.shorten_start:
        initialisers.shorten(path, original)
    if edit.pack:
        relocations.pack(path)
    if edit.device_code_for:
        # Last: the tools above write holes out as zeros.
        _trim(path, edit.device_code_for)


def _align_to_pages(path: Path) -> None:
    """Ask for no more alignment than pages and sections have; addresses and contents stay.

    Linkers before 2018 aligned segments to 2 MB, and patchelf leaves a gap of up to as much before the one it adds.
    """
    with path.open("r+b") as stream:
        elf = ELFFile(stream)
        page = _PAGES.get(elf["e_machine"])
        if page is None or elf.elfclass != 64:
            return
        loaded = [section for section in elf.iter_sections() if section["sh_flags"] & SH_FLAGS.SHF_ALLOC]
        align = max([page, *(section["sh_addralign"] for section in loaded)])
        starts = [
            elf["e_phoff"] + elf["e_phentsize"] * number
            for number, segment in enumerate(elf.iter_segments())
            if segment["p_type"] == "PT_LOAD" and segment["p_align"] > align and loaded
        ]
        for start in starts:
            stream.seek(start + _P_ALIGN)
            stream.write(struct.pack("<Q", align))


def _trim(path: Path, archs: tuple[str, ...]) -> None:
    try:
        trimming.trim(path, [fatbin.parse_arch(arch) for arch in archs])
    except ValueError as error:
        raise BuildToolError(
            f"{path.name}: {error}",
            meaning="its device code is stored in a way that this aotpack does not know, so none of it can be left out",
            fix="build without --arch",
        ) from error


def strip_copy(source: Path, target: Path) -> None:
    """Write `source` to `target` without its static symbols. Raises BuildToolError as `apply_edit` does."""
    if source != target and appended.elf_size(source) < source.stat().st_size:
        shutil.copyfile(source, target)
        apply_edit(target, ElfEdit(strip=True), source)
        return
    # Some distributions pack the symbols of functions once more, into a section that strip does not know.
    drop = ["--strip-unneeded", "--remove-section=.gnu_debugdata"]
    run_tool([find_program("strip"), *drop, "-o", str(target), str(source)], writes=target)
