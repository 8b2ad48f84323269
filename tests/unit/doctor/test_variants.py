"""What the doctor says of the variant that a model runs as."""

from __future__ import annotations

from aotpack_doctor.facts import Bundle, Host, HostFacts, Model, Variant
from aotpack_doctor.findings.checks.target import variants
from aotpack_doctor.findings.finding import Severity

ALL = (
    Variant("baseline", "cpu", ("sse4_1",)),
    Variant("avx2", "cpu", ("avx2", "fma")),
    Variant("avx512", "cpu", ("avx512f", "avx512_vnni")),
)
SKYLAKE = frozenset({"sse4_1", "avx2", "fma", "avx512f"})


def seen(flags: frozenset[str], forms: tuple[Variant, ...], tiles_refused: str | None = None) -> list[str]:
    host = Host(machine="x86_64", cpu_features=flags, tiles_refused=tiles_refused)
    bundle = Bundle(path="dist", machine="x86_64")
    found = list(variants(HostFacts(host=host, bundle=bundle, models=(Model("mlp", variants=forms),))))
    assert all(each.severity is Severity.INFO for each in found)
    return [each.seen for each in found]


def test_the_best_is_nothing_to_speak_of() -> None:
    assert seen(SKYLAKE | {"avx512_vnni"}, ALL) == []
    assert seen(frozenset({"sse4_1"}), ALL[:1]) == []


def test_what_this_machine_lacks_for_a_better_one() -> None:
    assert seen(SKYLAKE, ALL) == ["mlp runs as avx2; for avx512 this CPU lacks avx512_vnni"]
    assert seen(frozenset({"sse4_1"}), ALL) == [
        "mlp runs as baseline; for avx2 this CPU lacks avx2, fma; for avx512 this CPU lacks avx512f, avx512_vnni"
    ]


def test_one_that_the_package_does_not_have() -> None:
    assert seen(SKYLAKE, ALL[:2]) == ["mlp runs as avx2; this CPU has avx512, for which it has no variant"]


def test_amx_that_the_kernel_keeps() -> None:
    forms = (*ALL[:2], Variant("amx", "cpu", ("amx_tile",)))
    flags = frozenset({"sse4_1", "avx2", "fma", "amx_tile"})
    assert seen(flags, forms) == []
    assert seen(flags, forms, tiles_refused="EPERM") == [
        "mlp runs as avx2; for amx the kernel refuses the registers of AMX: EPERM"
    ]
    assert seen(flags - {"amx_tile"}, forms) == ["mlp runs as avx2; for amx this CPU lacks amx_tile"]


def test_nothing_is_said_where_none_runs_or_there_is_one_form() -> None:
    assert seen(frozenset(), ALL) == []
    assert seen(SKYLAKE, ()) == []
