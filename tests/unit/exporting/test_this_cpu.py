"""Whether the exporting machine runs what was compiled for another CPU."""

from __future__ import annotations

from aotpack.exporting.worker.variants.this_cpu import lacks

#: Of a Skylake server: AVX-512, and neither VNNI nor AMX.
SKYLAKE = """processor\t: 0
flags\t\t: sse2 pni ssse3 fma movbe popcnt avx f16c abm bmi1 avx2 bmi2 avx512f avx512dq avx512cd avx512bw avx512vl
bugs\t\t: spectre_v1
"""


def test_what_the_compiler_may_use_decides() -> None:
    assert lacks(["sse3", "lzcnt", "avx2", "avx512f", "avx512vl"], SKYLAKE) == []
    assert lacks(["avx512f", "avx512_vnni"], SKYLAKE) == ["avx512_vnni"]
    assert lacks(["avx512f", "amx_tile", "amx_bf16"], SKYLAKE) == ["amx_tile", "amx_bf16"]


def test_without_a_list_of_flags_nothing_is_taken_for_granted() -> None:
    assert lacks(["sse3"], "Features\t: fp asimd\n") == ["sse3"]
    assert lacks([], "") == []
