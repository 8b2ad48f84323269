"""Which CPU features are told from a file's instructions."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import pytest

from aotpack.elf.cpu_features import features_used, told_from_code

pytest.importorskip("iced_x86", reason="the decoder has no wheel for this machine")

#: Instructions, their bytes, and the features that they belong to.
CASES = [
    ("ret", "c3", []),
    (
        "endbr64; pause; nopw (%rax); cmovne %rax, %rbx; addps %xmm1, %xmm2; lock xaddq %rax, (%rbx)",
        "f30f1efaf390660f1f00480f45d80f58d1f0480fc103",
        [],
    ),
    ("vaddps %ymm1, %ymm2, %ymm3", "c5ec58d9", ["avx"]),
    ("vpaddd %ymm1, %ymm2, %ymm3", "c5edfed9", ["avx2"]),
    ("vfmadd231ps %ymm1, %ymm2, %ymm3", "c4e26db8d9", ["fma"]),
    ("vcvtph2ps %xmm1, %ymm2", "c4e27d13d1", ["f16c"]),
    ("vaddps %zmm1, %zmm2, %zmm3", "62f16c4858d9", ["avx512f"]),
    ("vpaddb %ymm17, %ymm2, %ymm3", "62b16d28fcd9", ["avx512bw", "avx512vl"]),
    ("vpdpbusd %zmm1, %zmm2, %zmm3", "62f26d4850d9", ["avx512_vnni"]),
    ("vdpbf16ps %zmm1, %zmm2, %zmm3", "62f26e4852d9", ["avx512_bf16", "avx512f"]),
    ("vaddph %zmm1, %zmm2, %zmm3", "62f56c4858d9", ["avx512_fp16"]),
    ("tdpbf16ps %tmm0, %tmm1, %tmm2; tilezero %tmm3", "c4e27a5cd1c4e27b49d8", ["amx_bf16", "amx_tile"]),
    ("shlx %rax, %rbx, %rcx; popcnt %rax, %rbx", "c4e2f9f7cbf3480fb8d8", ["bmi2", "popcnt"]),
]


def elf_of(code: str) -> bytes:
    """A file of x86-64 with these bytes as its code, and no more than a reader of sections asks for."""
    text = bytes.fromhex(code)
    names = b"\0.text\0.shstrtab\0"
    header = b"\x7fELF\x02\x01\x01" + bytes(9)
    header += struct.pack("<HHIQQQIHHHHHH", 3, 62, 1, 0, 0, 64, 0, 64, 56, 0, 64, 3, 2)
    at = 64 + 3 * 64
    sections = [
        bytes(64),
        struct.pack("<IIQQQQIIQQ", 1, 1, 6, 0x1000, at, len(text), 0, 0, 16, 0),
        struct.pack("<IIQQQQIIQQ", 7, 3, 0, 0, at + len(text), len(names), 0, 0, 1, 0),
    ]
    return header + b"".join(sections) + text + names


@pytest.mark.parametrize(("code", "features"), [row[1:] for row in CASES], ids=[row[0] for row in CASES])
def test_instructions_tell_their_features(code: str, features: list[str]) -> None:
    assert features_used(io.BytesIO(elf_of(code))) == set(features)


def test_what_was_allowed_and_is_used(tmp_path: Path) -> None:
    path = tmp_path / "code.so"
    path.write_bytes(elf_of("c5ec58d9" + "f30fbcd8"))  # vaddps, tzcnt
    assert told_from_code(path, ("avx", "avx2", "amx_tile", "fma")) == ("avx",)
    assert told_from_code(path, ()) == ()


def test_code_for_another_machine_is_not_read() -> None:
    other = bytearray(elf_of("c3"))
    other[18] = 183  # AArch64
    assert features_used(io.BytesIO(bytes(other))) is None
