"""Edits of real libraries: they stay whole, and grow by no more than what is added."""

from __future__ import annotations

import ctypes
import platform
import subprocess
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from aotpack.elf.appended import elf_size, set_aside
from aotpack.elf.edits import ElfEdit, apply_edit, strip_copy
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


def bare(folder: Path) -> Path:
    source, library = folder / "x.c", folder / "libx.so"
    source.write_text(SOURCE, encoding="ascii")
    subprocess.run(["cc", "-shared", "-fPIC", "-g", source, "-o", library], check=True)
    return library


@pytest.mark.parametrize("offset", [0, 1, 0x4000, 0xFFFF])
@pytest.mark.parametrize(
    "edit",
    [
        ElfEdit(strip=True),
        ElfEdit(search_path="$ORIGIN/" + "far" * 400),
        ElfEdit(strip=True, add_needed=("libm.so.6",)),
    ],
    ids=["strip", "path", "both"],
)
def test_what_is_appended_stays_where_it_is_within_a_page(tmp_path: Path, edit: ElfEdit, offset: int) -> None:
    library = bare(tmp_path)
    behind = bytes(range(256)) * 300
    with library.open("ab") as stream:
        stream.write(bytes((offset - stream.tell()) % 0x10000) + behind)
    size = library.stat().st_size

    apply_edit(library, edit, library)

    assert library.read_bytes().endswith(behind)
    assert (library.stat().st_size - size) % 0x10000 == 0
    assert ctypes.CDLL(str(library)).value() == 7
    assert [path.name for path in tmp_path.iterdir() if path != library] == ["x.c"]


def test_a_stripped_copy_keeps_what_is_appended(tmp_path: Path) -> None:
    library, copy = bare(tmp_path), tmp_path / "copy.so"
    with library.open("ab") as stream:
        stream.write(b"behind")
    strip_copy(library, copy)
    assert copy.read_bytes().endswith(b"behind")
    assert b".debug_info" in library.read_bytes()
    assert b".debug_info" not in copy.read_bytes()


def test_a_file_of_elf_alone_is_edited_where_it_is(tmp_path: Path) -> None:
    library = bare(tmp_path)
    assert elf_size(library) == library.stat().st_size
    with set_aside(library) as elf:
        assert elf == library
