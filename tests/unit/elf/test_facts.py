"""What is read of an ELF file, by the build and by the doctor alike."""

from __future__ import annotations

from pathlib import Path

import pytest

from aotpack.elf import facts
from aotpack_doctor.base import elf
from tests.support.bundles.hand_made import elf_file


@pytest.mark.parametrize(
    ("number", "machine"),
    [
        (62, "x86_64"),
        (183, "aarch64"),
        (243, "riscv64"),
        (21, "ppc64le"),
        (190, elf.GPU),
        (224, elf.GPU),
        (22, "machine 22"),
        (0xFFF0, "machine 65520"),
    ],
)
def test_both_readers_know_the_same_machines(number: int, machine: str, tmp_path: Path) -> None:
    path = tmp_path / "library.so"
    path.write_bytes(elf_file(machine=number))
    assert facts.read_elf(path).machine == machine
    assert facts.read_elf(path).is_gpu_code == (machine == elf.GPU)
    theirs = elf.read_elf(str(path))
    assert theirs is not None
    assert theirs.machine == machine


@pytest.mark.parametrize(
    "contents",
    [
        elf_file(),
        elf_file(needed=("libz.so.1", "libc.so.6"), runpath="$ORIGIN::$ORIGIN/../lib", executable_stack=True),
        Path("/usr/bin/env").resolve().read_bytes(),
    ],
)
def test_both_readers_read_the_same(contents: bytes, tmp_path: Path) -> None:
    path = tmp_path / "library.so"
    path.write_bytes(contents)
    ours, theirs = facts.read_elf(path), elf.read_elf(str(path))
    assert theirs is not None
    assert (ours.machine, ours.soname, ours.needed) == (theirs.machine, theirs.soname, theirs.needed)
    assert (ours.runpath or ours.rpath, ours.executable_stack) == (theirs.search_path, theirs.executable_stack)
