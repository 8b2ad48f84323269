"""What a bill of materials says of who needs whom."""

from __future__ import annotations

from pathlib import Path

from aotpack.building.papers import _needs
from aotpack.bundle.manifest import FileRecord
from tests.support.bundles.hand_made import elf_file


def record(path: str, link: str | None = None) -> FileRecord:
    return FileRecord(path=path, part="runtime", reason="", link=link)


def test_who_serves_a_need_is_whom_the_loader_finds(tmp_path: Path) -> None:
    contents = {
        "lib/liba.so": elf_file(
            needed=("libz.so.1", "libc.so.6", "libnone.so"), runpath="/opt:$ORIGIN/../lib/gcc:$ORIGIN"
        ),
        "lib/libz.so.1": elf_file(),
        "lib/gcc/libz.so.1": elf_file(),
        "lib/torch/libb.so": elf_file(needed=("libz.so.1",), runpath="$ORIGIN"),
        "libc/libc.so.6": elf_file(),
        "assets/firmware.so": b"\x7fELF\x01\x01",
        "assets/notes.txt": b"text",
    }
    for name, content in contents.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    (tmp_path / "lib/torch/libz.so.1").symlink_to("../libz.so.1")
    records = [*map(record, contents), record("lib/torch/libz.so.1", link="../libz.so.1")]
    assert _needs(tmp_path, records) == {
        "lib/liba.so": ["lib/gcc/libz.so.1", "libc/libc.so.6"],
        "lib/libz.so.1": [],
        "lib/gcc/libz.so.1": [],
        "lib/torch/libb.so": ["lib/libz.so.1"],
        "libc/libc.so.6": [],
    }
