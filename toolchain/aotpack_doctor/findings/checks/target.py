"""AP6xx: a bundle against the machine it is to run on."""

from __future__ import annotations

import os
from typing import AbstractSet, Iterable, Iterator

from aotpack_doctor.base import versions
from aotpack_doctor.base.printable import quoted
from aotpack_doctor.facts import Bundle, FaultKind, HostFacts, Model
from aotpack_doctor.findings.finding import Finding, Kind, Severity
from aotpack_doctor.findings.registry import check
from aotpack_doctor.reading.host import plain_feature

GLIBC = Kind(
    "AP601",
    Severity.ERROR,
    "This machine's glibc is too old",
    "A library was compiled against a newer glibc, and this bundle leaves libc to the machine.",
    7,
)
GLIBCXX = Kind(
    "AP602",
    Severity.WARNING,
    "This machine's libstdc++ is older than the bundle's",
    "bin/aotrun brings its own; a C++ program that links to the bundle must not load this machine's older one first.",
    7,
)
CPU = Kind(
    "AP603",
    Severity.ERROR,
    "This CPU lacks instructions that the bundle uses",
    "The process would be killed with `Illegal instruction`.",
    7,
)
MACHINE = Kind(
    "AP604",
    Severity.ERROR,
    "The bundle is for another type of machine",
    "Compiled code runs only on the processor family that it was compiled for.",
    7,
)
NOEXEC = Kind(
    "AP605",
    Severity.ERROR,
    "The bundle lies on a file system that forbids execution",
    "The kernel refuses to start programs and to map libraries from a `noexec` mount.",
    7,
)
UNREADABLE = Kind(
    "AP606",
    Severity.ERROR,
    "This user may not read or execute files of the bundle",
    "Permissions were lost when it was copied, or it belongs to somebody else.",
    7,
)
INTERFERING = Kind(
    "AP607",
    Severity.WARNING,
    "LD_LIBRARY_PATH or LD_PRELOAD interferes",
    "bin/aotrun drops both; a program that links to the bundle would take these libraries instead of the bundle's.",
    7,
)
KERNEL = Kind(
    "AP608",
    Severity.ERROR,
    "This machine's kernel is too old",
    "The libc that travels in the bundle refuses to start on it.",
    7,
)
SHORTAGE = Kind(
    "AP609",
    Severity.ERROR,
    "Memory or open files ran out",
    "This process may have no more of them, so that files could not be looked at; of the bundle this says nothing.",
    1,
)
CRASH = Kind(
    "AP610",
    Severity.ERROR,
    "The process was ended by a fault in its code",
    "No input may do that; a damaged library, one that does not belong to the bundle, or a defect of the runtime does.",
    7,
)
MAPPED_FILE = Kind(
    "AP611",
    Severity.ERROR,
    "A file that was mapped into memory could not be read",
    "Models and weights are mapped: a file that is cut short while it is in use, or a failing disk, ends the process.",
    6,
)
TILES = Kind(
    "AP612",
    Severity.ERROR,
    "The kernel refuses the registers of AMX",
    "A process must ask for them before it runs such code; the bridge asks, and would refuse the model.",
    7,
)

VARIANT = Kind(
    "AP613",
    Severity.INFO,
    "A model does not run in the best of its variants, or has none for this CPU",
    "It runs, and gives the same; a variant that uses more of this CPU's instructions may be faster.",
    7,
)

INT4 = Kind(
    "AP614",
    Severity.ERROR,
    "Weights of four bits lie in an order for another kind of CPU",
    "libtorch would read them in the order of this CPU's kind, so the bridge refuses the model.",
    7,
)
SATURATING = Kind(
    "AP615",
    Severity.WARNING,
    "libtorch's products of bytes are not exact on this CPU",
    "Without VNNI pairs of them are summed in 16 bits, which may saturate: the model runs, and may give other results.",
    7,
)
HALVES = Kind(
    "AP616",
    Severity.ERROR,
    "libtorch has no layers of 16 bits for this CPU",
    "oneDNN, which computes them, asks for instructions that this CPU lacks, so the bridge refuses the model.",
    7,
)

#: What libtorch calls kinds of CPUs, best first, and what it asks of them.
_TORCH_KINDS = (("AVX512", ("avx512vl", "avx512bw", "avx512dq", "fma")), ("AVX2", ("avx2", "fma")))
#: What its oneDNN asks of a CPU for layers of 16 bits, and what computes both without AVX-512, as the bridge has it
#: (bridge/src/model/halves.cpp).
ONEDNN_HALVES = {"bfloat16": ("avx512bw", "avx512dq", "avx512vl"), "float16": ("avx512_fp16",)}
ONEDNN_BOTH = ("avx_vnni", "avx_vnni_int8", "avx_ne_convert")
#: What tells the instruction sets of `--cpu-isa` apart, best first; see aotpack.exporting.driving.ISAS.
_LEVELS = (("amx", "amx_tile"), ("avx512", "avx512f"), ("avx2", "avx2"))

_SHOWN = 5
_NEWER_CPU = "run it on a newer CPU; emulators and clouds may hide what a CPU has"
#: What to do about layers of 16 bits that libtorch cannot compute.
WITHOUT_HALVES = (
    "aotpack build --runtime slim ...   # computes layers of 16 bits on every CPU",
    "export the model in float32, then build again: libtorch computes that on every CPU",
    _NEWER_CPU,
)
_OUTSIDE = "run it outside of the sandbox, or on a newer kernel"


def _whole(facts: HostFacts) -> Bundle | None:
    return facts.bundle if facts.bundle is not None and facts.bundle.machine is not None else None


@check(GLIBC, GLIBCXX)
def libraries(facts: HostFacts) -> Iterator[Finding]:
    bundle, host = _whole(facts), facts.host
    if bundle is None:
        return
    floor = bundle.floors.get("glibc")
    if floor and host.libc == "musl":
        yield GLIBC.found(f"the bundle needs glibc {floor}, this machine has musl", "aotpack build --libc bundled ...")
    elif floor and host.libc_version and versions.older(host.libc_version, floor):
        yield GLIBC.found(
            f"the bundle needs glibc {floor}, this machine has {host.libc_version}",
            "aotpack build --portable --libc bundled ...   # brings libc along",
        )
    floor = bundle.floors.get("embedding_glibcxx")
    if floor and host.libstdcxx and versions.older(host.libstdcxx, floor):
        yield GLIBCXX.found(
            f"the bundle's libraries need GLIBCXX {floor}, this machine has {host.libstdcxx}",
            f"link the program with {quoted(f'-Wl,-rpath,{bundle.path}/lib:{bundle.path}/lib/gcc')}",
            severity=Severity.ERROR if bundle.libc == "host" else None,
        )


@check(CPU)
def cpu(facts: HostFacts) -> Iterator[Finding]:
    bundle = _whole(facts)
    if bundle is None or facts.host.cpu_features is None or bundle.machine != facts.host.machine:
        return
    have = {plain_feature(name) for name in facts.host.cpu_features}
    lacking = [name for name in bundle.cpu_features if plain_feature(name) not in have]
    if lacking:
        yield CPU.found(
            f"missing: {', '.join(lacking)} ({facts.host.cpu_model or 'model not known'})",
            "aotpack export --cpu-isa portable ...   # then build again",
        )


def _missing(features: Iterable[str], have: AbstractSet[str]) -> list[str]:
    return [name for name in features if plain_feature(name) not in have]


def _obstacle(features: Iterable[str], have: AbstractSet[str], refusal: str | None) -> str:
    """Why code with these features does not run here, as the bridge says it; nothing where it does."""
    missing = _missing(features, have)
    if missing:
        return f"this CPU lacks {', '.join(missing)}"
    if refusal is not None and any(plain_feature(name).startswith("amx") for name in features):
        return f"the kernel refuses the registers of AMX: {refusal}"
    return ""


def _halves_obstacle(model: Model, have: AbstractSet[str]) -> str:
    """Why libtorch cannot compute a model's layers of 16 bits here, as the bridge says it; nothing where it can."""
    if model.device != "cpu" or not _missing(ONEDNN_BOTH, have):
        return ""
    for name in model.packed_halves:
        missing = _missing(ONEDNN_HALVES[name], have)
        if missing:
            lacking = ", ".join(missing)
            return f"has layers of {name}, for which libtorch needs CPU features that this machine lacks: {lacking}"
    return ""


@check(HALVES)
def halves(facts: HostFacts) -> Iterator[Finding]:
    """Layers that only oneDNN computes, which no variant of a model has otherwise."""
    bundle = _whole(facts)
    if bundle is None or bundle.runtime != "full" or bundle.machine != facts.host.machine:
        return
    if facts.host.cpu_features is None:
        return
    have = {plain_feature(name) for name in facts.host.cpu_features}
    for model in facts.models:
        obstacle = _halves_obstacle(model, have)
        if obstacle:
            yield HALVES.found(f"{model.name} {obstacle}", *WITHOUT_HALVES)


@check(VARIANT)
def variants(facts: HostFacts) -> Iterator[Finding]:
    """Which one runs, where that is not the best there is or could be."""
    bundle = _whole(facts)
    if bundle is None or facts.host.cpu_features is None:
        return
    have = {plain_feature(name) for name in facts.host.cpu_features}
    for model in facts.models:
        if bundle.runtime == "full" and _halves_obstacle(model, have):
            continue  # none of them runs
        obstacles = {
            each.name: _obstacle(each.cpu_features, have, facts.host.tiles_refused)
            for each in model.variants
            if each.device == "cpu"
        }
        running = [name for name, obstacle in obstacles.items() if not obstacle]
        if not running:
            continue
        passed = [f"for {name} {obstacle}" for name, obstacle in obstacles.items() if obstacle]
        if passed:
            seen = f"{model.name} runs as {running[-1]}; {'; '.join(passed)}"
            yield VARIANT.found(seen, _NEWER_CPU if "this CPU lacks" in passed[-1] else _OUTSIDE)
            continue
        # AMX pays for some models only, which export knows.
        best = next((name for name, feature in _LEVELS[1:] if plain_feature(feature) in have), "baseline")
        if best not in obstacles:
            yield VARIANT.found(
                f"{model.name} runs as {running[-1]}; this CPU has {best}, for which it has no variant",
                f"aotpack export --cpu-isa {','.join([*obstacles, best])} ...   "
                "# export leaves out what gains nothing on its machine",
            )


def _torch_kind(have: set[str]) -> str:
    kinds = (kind for kind, features in _TORCH_KINDS if have.issuperset(features))
    return next(kinds, "DEFAULT")


@check(INT4, SATURATING)
def quantised(facts: HostFacts) -> Iterator[Finding]:
    """What libtorch does with few bits depends on the CPU; the slim runtime reads and multiplies them alike on all."""
    bundle = _whole(facts)
    if bundle is None or bundle.runtime != "full" or facts.host.cpu_features is None:
        return
    have = {plain_feature(name) for name in facts.host.cpu_features}
    kind = _torch_kind(have)
    for model in facts.models:
        if model.int4_order not in (None, kind):
            yield INT4.found(
                f"{model.name} has them in torch's order for {model.int4_order}; libtorch takes this CPU for {kind}",
                "aotpack build --runtime slim ...   # reads AVX512's order on every CPU",
            )
        if model.multiplies_bytes and model.device == "cpu" and not have & {"avx512vnni", "avxvnni"}:
            yield SATURATING.found(
                f"{model.name} multiplies bytes; {facts.host.cpu_model or 'this CPU'} has no VNNI",
                "aotpack build --runtime slim ...   # its products of bytes are exact on every CPU",
                "quantise with reduce_range=True: activations of 7 bits, whose sums do not saturate",
            )


@check(TILES)
def tiles(facts: HostFacts) -> Iterator[Finding]:
    bundle, refusal = _whole(facts), facts.host.tiles_refused
    if bundle is None or refusal is None:
        return
    using = [name for name in bundle.cpu_features if plain_feature(name).startswith("amx")]
    if using:
        yield TILES.found(
            f"the bundle uses {', '.join(using)}; asked for them, kernel {facts.host.kernel} says: {refusal}",
            "run it outside of the sandbox, or: aotpack export --cpu-isa avx512 ...   # then build again",
        )


@check(MACHINE)
def machine(facts: HostFacts) -> Iterator[Finding]:
    bundle = _whole(facts)
    if bundle is not None and bundle.machine != facts.host.machine:
        yield MACHINE.found(
            f"the bundle is for {bundle.machine}, this machine is {facts.host.machine}",
            f"export and build on a machine of type {facts.host.machine}",
        )


@check(NOEXEC)
def noexec(facts: HostFacts) -> Iterator[Finding]:
    if facts.bundle and facts.bundle.noexec:
        yield NOEXEC.found(
            f"{facts.bundle.path} is on {facts.bundle.noexec}, mounted noexec",
            f"sudo mount -o remount,exec {quoted(facts.bundle.noexec)}",
            f"cp -a {quoted(facts.bundle.path)} /another/disk/",
        )


@check(UNREADABLE)
def readable(facts: HostFacts) -> Iterator[Finding]:
    if facts.bundle and (faults := facts.bundle.faults_of(FaultKind.UNREADABLE)):
        more = f"; and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
        fix = f"chmod -R a+rX {quoted(facts.bundle.path)}"
        programs = [quoted(os.path.join(facts.bundle.path, fault.path)) for fault in faults if "executed" in fault.what]
        if programs:
            fix += f" && chmod +x {' '.join(programs)}"
        yield UNREADABLE.found("; ".join(f"{fault.path} {fault.what}" for fault in faults[:_SHOWN]) + more, fix)


@check(SHORTAGE)
def shortage(facts: HostFacts) -> Iterator[Finding]:
    if facts.bundle and (faults := facts.bundle.faults_of(FaultKind.SHORTAGE)):
        more = f"; and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
        yield SHORTAGE.found(
            "; ".join(f"{fault.path} {fault.what}" for fault in faults[:_SHOWN]) + more,
            "ulimit -a   # the limits of this shell: open files, virtual memory; a container has others of its own",
            "free -m   # what memory there is",
        )


@check(INTERFERING)
def interfering(facts: HostFacts) -> Iterator[Finding]:
    if facts.bundle is None:
        return
    for variable in ("LD_LIBRARY_PATH", "LD_PRELOAD"):
        shadowed = facts.bundle.faults_of(FaultKind.SHADOWED)
        seen = [fault.what for fault in shadowed if fault.what.startswith(variable)]
        if seen:
            more = f", and {len(seen) - _SHOWN} more" if len(seen) > _SHOWN else ""
            yield INTERFERING.found(", ".join(seen[:_SHOWN]) + more, f"unset {variable}")
    if facts.host.preload_missing:
        yield INTERFERING.found(
            f"LD_PRELOAD names {', '.join(facts.host.preload_missing)}, which does not exist", "unset LD_PRELOAD"
        )


@check(KERNEL)
def kernel(facts: HostFacts) -> Iterator[Finding]:
    bundle = _whole(facts)
    floor = bundle.floors.get("kernel") if bundle else None
    if floor and facts.host.kernel and versions.older(facts.host.kernel, floor):
        yield KERNEL.found(f"kernel {facts.host.kernel}, the bundle's libc needs {floor}", "run it on a newer system")
