"""Facts of one ELF file (pyelftools) and queued edits of one (strip, patchelf)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from elftools.common.exceptions import ELFError
from elftools.elf.dynamic import DynamicSegment
from elftools.elf.elffile import ELFFile
from elftools.elf.enums import ENUM_E_MACHINE
from elftools.elf.gnuversions import GNUVerNeedSection
from packaging.version import InvalidVersion, Version

from aotpack_doctor.base.elf import GPU, machine_name
from aotpack_doctor.base.regular import open_regular

MAGIC = b"\x7fELF"


@dataclass(frozen=True)
class Elf:
    """What the loader reads of one file. Paths in `rpath` and `runpath` are as written, `$ORIGIN` unexpanded."""

    #: uname machine: `x86_64`, `aarch64`; or `GPU`.
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
        return self.machine == GPU

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
        with open_regular(str(path)) as stream:
            return stream.read(4) == MAGIC
    except OSError:
        return False


def read_elf(path: Path) -> Elf:
    """Facts of a file. Raises ValueError with a reason when it is not a whole ELF file."""
    with open_regular(str(path)) as stream:
        return parse_elf(stream)


def parse_elf(stream: IO[bytes]) -> Elf:
    """Facts of an open, seekable file. Raises ValueError with a reason when it is not a whole ELF file."""
    try:
        return _parse(ELFFile(stream))
    except (ELFError, AssertionError, AttributeError, LookupError, OverflowError, TypeError, ValueError) as error:
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
        machine=machine_name(ENUM_E_MACHINE.get(elf["e_machine"], elf["e_machine"])),
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
