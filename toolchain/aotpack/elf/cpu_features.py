"""Which CPU features a file's code uses, told from its instructions.

A compiler that may use a feature (`-march=native` on a CPU with AMX allows 31 of them) seldom does: what a package asks
of a target is what is in its code.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, Any

from elftools.elf.constants import SH_FLAGS
from elftools.elf.elffile import ELFFile

#: The decoder's names -> those that the bridge knows (bridge/src/base/cpu_features.cpp). What is in neither is in every
#: x86-64 CPU (CMOV, SSE2), does nothing where it is unknown (ENDBR64), or is no feature of code that compilers make.
_NAMES: Mapping[str, str] = {
    "ADX": "adx",
    "AES": "aes",
    "AMX_BF16": "amx_bf16",
    "AMX_FP16": "amx_fp16",
    "AMX_INT8": "amx_int8",
    "AMX_TILE": "amx_tile",
    "AVX": "avx",
    "AVX2": "avx2",
    "AVX512BW": "avx512bw",
    "AVX512CD": "avx512cd",
    "AVX512DQ": "avx512dq",
    "AVX512F": "avx512f",
    "AVX512VL": "avx512vl",
    "AVX512_BF16": "avx512_bf16",
    "AVX512_BITALG": "avx512_bitalg",
    "AVX512_FP16": "avx512_fp16",
    "AVX512_IFMA": "avx512ifma",
    "AVX512_VBMI": "avx512vbmi",
    "AVX512_VBMI2": "avx512_vbmi2",
    "AVX512_VNNI": "avx512_vnni",
    "AVX512_VPOPCNTDQ": "avx512_vpopcntdq",
    "AVX_VNNI": "avx_vnni",
    "BMI1": "bmi1",
    "BMI2": "bmi2",
    "CMPXCHG16B": "cx16",
    "F16C": "f16c",
    "FMA": "fma",
    "GFNI": "gfni",
    "LZCNT": "lzcnt",
    "MOVBE": "movbe",
    "PCLMULQDQ": "pclmulqdq",
    "POPCNT": "popcnt",
    "SHA": "sha_ni",
    "SSE3": "sse3",
    "SSE4_1": "sse4_1",
    "SSE4_2": "sse4_2",
    "SSSE3": "ssse3",
    "VAES": "vaes",
    "VPCLMULQDQ": "vpclmulqdq",
}


def features_used(file: IO[bytes]) -> frozenset[str] | None:
    """The CPU features that the instructions of an x86-64 ELF file belong to, beyond those of every such CPU.

    `tzcnt` counts as `bmi1` although it is `bsf` to older CPUs, which compilers rely on: where it is known what the
    compiler was allowed to use, hold the result against it (`told_from_code`).

    None where that cannot be told: code for another machine, or no decoder on this one. Raises elftools' ELFError when
    it is no ELF file.
    """
    try:
        from iced_x86 import CpuidFeature, Decoder
    except ImportError:
        return None  # its wheels do not cover every machine
    elf = ELFFile(file)
    if elf.get_machine_arch() != "x64":
        return None
    seen: dict[int, list[Any]] = {}  # by opcode and form: many thousands of instructions have a few hundred
    for section in elf.iter_sections():
        if not section["sh_flags"] & SH_FLAGS.SHF_EXECINSTR or section["sh_type"] == "SHT_NOBITS":
            continue
        for instruction in Decoder(64, section.data(), ip=section["sh_addr"]):
            if instruction.code not in seen:
                seen[instruction.code] = instruction.cpuid_features()
    names = {getattr(CpuidFeature, theirs): ours for theirs, ours in _NAMES.items()}
    return frozenset(names[number] for numbers in seen.values() for number in numbers if number in names)


def told_from_code(path: Path, allowed: Iterable[str]) -> tuple[str, ...]:
    """Those of the features that the compiler was allowed to use which the code uses; all where that cannot be told."""
    with path.open("rb") as stream:
        used = features_used(stream)
    return tuple(feature for feature in allowed if used is None or feature in used)
