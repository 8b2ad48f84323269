"""Edits of real libraries: they stay whole, and grow by no more than what is added."""

from __future__ import annotations

import ctypes
import platform
import subprocess
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from aotpack.elf.edits import ElfEdit, apply_edit
from aotpack.elf.facts import read_elf

SOURCE = """
__attribute__((aligned(0x4000))) char aligned[0x4000] = {7};
int *pointer = (int *)aligned;
int value(void) { return aligned[0]; }
unsigned long offset(void) { return (unsigned long)aligned % sizeof aligned; }
"""


@pytest.mark.skipif(platform.machine() != "x86_64", reason="pages of other machines come in several sizes")
@pytest.mark.parametrize("maximum", [0x1000, 0x200000])
def test_a_search_path_costs_pages_whatever_the_linker_aligned_to(tmp_path: Path, maximum: int) -> None:
    source, library = tmp_path / "x.c", tmp_path / "libx.so"
    source.write_text(SOURCE, encoding="ascii")
    link = f"-Wl,-z,max-page-size={maximum:#x},-z,noseparate-code"
    subprocess.run(["cc", "-shared", "-fPIC", source, link, "-o", library], check=True)
    before = library.stat().st_size

    apply_edit(library, ElfEdit(strip=True, search_path="$ORIGIN/one/folder:$ORIGIN/another"), library)

    assert read_elf(library).runpath == ("$ORIGIN/one/folder", "$ORIGIN/another")
    assert library.stat().st_size < before + 0x8000
    loaded = ctypes.CDLL(str(library))
    assert loaded.value() == 7
    assert loaded.offset() == 0
    with library.open("rb") as stream:
        alignments = {segment["p_align"] for segment in ELFFile(stream).iter_segments("PT_LOAD")}
    assert max(alignments) >= 0x4000  # what the data asks for


def test_symbols_that_are_packed_once_more_go_too(tmp_path: Path) -> None:
    source, library, packed = tmp_path / "x.c", tmp_path / "libx.so", tmp_path / "symbols.xz"
    source.write_text(SOURCE, encoding="ascii")
    packed.write_bytes(bytes(5000))
    subprocess.run(["cc", "-shared", "-fPIC", source, "-o", library], check=True)
    subprocess.run(["objcopy", f"--add-section=.gnu_debugdata={packed}", library], check=True)

    apply_edit(library, ElfEdit(strip=True), library)

    with library.open("rb") as stream:
        names = {section.name for section in ELFFile(stream).iter_sections()}
    assert ".gnu_debugdata" not in names
    assert ctypes.CDLL(str(library)).value() == 7
