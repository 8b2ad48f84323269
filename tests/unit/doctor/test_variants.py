"""What the doctor says of the variant that a model runs as."""

from __future__ import annotations

from aotpack_doctor.facts import Bundle, Gpu, Host, HostFacts, Model, Nvidia, Variant
from aotpack_doctor.findings.checks.model import gpu_arch
from aotpack_doctor.findings.checks.target import halves, variants
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


def of_halves(flags: frozenset[str], *types: str, runtime: str = "full") -> list[str]:
    """What is said of a model with packed layers of some types, by either check."""
    model = Model("low", variants=ALL, packed_halves=types)
    bundle = Bundle(path="dist", machine="x86_64", runtime=runtime)
    facts = HostFacts(host=Host(machine="x86_64", cpu_features=flags), bundle=bundle, models=(model,))
    return [each.seen for check in (halves, variants) for each in check(facts)]


def test_layers_of_16_bits_that_libtorch_does_not_compute() -> None:
    """Then no variant runs, and none is said to."""
    avx2 = frozenset({"sse4_1", "avx2", "fma"})
    avx512 = SKYLAKE | {"avx512bw", "avx512dq", "avx512vl", "avx512_vnni"}
    lacks = "for which libtorch needs CPU features that this machine lacks:"
    assert of_halves(avx2, "bfloat16") == [f"low has layers of bfloat16, {lacks} avx512bw, avx512dq, avx512vl"]
    assert of_halves(avx512, "bfloat16", "float16") == [f"low has layers of float16, {lacks} avx512_fp16"]
    assert of_halves(avx512, "bfloat16") == of_halves(avx512 | {"avx512_fp16"}, "bfloat16", "float16") == []
    both = avx2 | {"avx_vnni", "avx_vnni_int8", "avx_ne_convert"}
    for seen_there in (of_halves(both, "bfloat16", "float16"), of_halves(avx2, "bfloat16", runtime="slim")):
        assert [text.partition(";")[0] for text in seen_there] == ["low runs as avx2"]


def told_of_gpu(gpu: str, model: Model) -> list[tuple[str, str, Severity]]:
    host = Host(machine="x86_64", cpu_features=SKYLAKE)
    facts = HostFacts(host=host, backend="cuda", runs_here=True, nvidia=Nvidia(gpus=(Gpu("G", gpu),)), models=(model,))
    return [(each.seen, each.fix[0], each.severity) for each in gpu_arch(facts)]


def test_a_gpu_is_held_against_the_code_of_all_variants() -> None:
    forms = (Variant("cuda-sm_75", "cuda", (), ("sm_75",)), Variant("cuda-sm_80", "cuda", (), ("sm_80", "compute_80")))
    model = Model("m", device="cuda", gpu_archs=("sm_75",), variants=forms)
    for gpu in ("sm_75", "sm_86", "sm_120"):
        assert told_of_gpu(gpu, model) == []
    ((seen, fix, severity),) = told_of_gpu("sm_70", model)
    assert seen == "m has code for sm_75, sm_80, compute_80; G is sm_70"
    assert fix.endswith("--device cuda --arch sm_75,sm_80,sm_70")
    assert severity is Severity.ERROR


def test_a_gpu_that_no_code_is_for_leaves_the_cpu() -> None:
    model = Model("m", variants=(Variant("cpu", "cpu", ()), Variant("cuda-sm_80", "cuda", (), ("sm_80",))))
    ((seen, _, severity),) = told_of_gpu("sm_90", model)
    assert seen == "m has code for sm_80; G is sm_90"
    assert severity is Severity.WARNING
    assert told_of_gpu("sm_80", model) == []
    assert told_of_gpu("sm_90", Model("m")) == []
