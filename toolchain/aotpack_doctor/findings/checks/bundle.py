"""AP5xx: a bundle against its own description."""

from __future__ import annotations

import os
import re
from typing import Iterator

from aotpack_doctor.base.printable import quoted
from aotpack_doctor.facts import Bundle, Fault, FaultKind, HostFacts
from aotpack_doctor.findings.finding import Finding, Kind, Severity
from aotpack_doctor.findings.registry import check

CHANGED = Kind(
    "AP501",
    Severity.ERROR,
    "Files of the bundle are damaged",
    "Their content is not what was sealed: a broken copy, a full disk, or somebody's edit.",
    6,
)
MISSING = Kind("AP502", Severity.ERROR, "Files of the bundle are missing", "The bundle was not copied whole.", 6)
FOREIGN = Kind(
    "AP503",
    Severity.WARNING,
    "There are files that do not belong to the bundle",
    "They are harmless unless a library of the same name is searched for there; verify refuses them.",
    6,
)
OUTSIDE_PATH = Kind(
    "AP504",
    Severity.ERROR,
    "A library searches outside of the bundle",
    "On another machine that folder is absent, or worse, holds other versions of the libraries.",
    6,
)
OUTSIDE_LINK = Kind(
    "AP505",
    Severity.ERROR,
    "A link leaves the bundle",
    "What it points to does not travel with the bundle.",
    6,
)
STACK = Kind(
    "AP506",
    Severity.ERROR,
    "A library asks for an executable stack",
    "glibc 2.41 and hardened kernels refuse to load it.",
    6,
)
UNRESOLVED = Kind(
    "AP507",
    Severity.ERROR,
    "A library that is needed is not there",
    "It is neither in the bundle nor among what the target provides; loading fails, or finds some other version.",
    6,
)
UNTRUSTED = Kind(
    "AP508",
    Severity.ERROR,
    "The bundle's description cannot be used",
    "Without bundle.json nothing in the folder can be checked.",
    6,
)
DEVELOPMENT = Kind(
    "AP509",
    Severity.INFO,
    "A development bundle",
    "It links to the environment it was built from and runs on this machine only.",
    6,
)
DANGLING = Kind(
    "AP510",
    Severity.ERROR,
    "What the bundle links to is gone",
    "The environment that this development bundle was built from was moved, changed or removed.",
    6,
)

OPENMP = Kind(
    "AP511",
    Severity.WARNING,
    "Two OpenMP runtimes in one process",
    "Each starts threads of its own, so that they get into each other's way; LLVM's and Intel's end the process.",
    6,
)
STATIC_TLS = Kind(
    "AP512",
    Severity.ERROR,
    "A library wants thread-local storage that a running program does not have",
    "What it declares must be there when a thread starts; the loader keeps little room for what is loaded later.",
    6,
)
DISAGREES = Kind(
    "AP513",
    Severity.ERROR,
    "The bundle says two things of a model",
    "bundle.json and the model's own model.json were written together; one of them was replaced since.",
    6,
)
OTHER_MACHINE = Kind(
    "AP514",
    Severity.ERROR,
    "A library is code for another type of machine than the bundle",
    "The loader skips it or refuses it: it was packed by mistake.",
    6,
)

UNLICENSED = Kind(
    "AP515",
    Severity.INFO,
    "Nothing says under which licence a part of the bundle is",
    "It runs all the same; whether it may be passed on is for you to find out.",
    6,
)

UNSIGNED = Kind(
    "AP516",
    Severity.ERROR,
    "The bundle is not signed by the key that you gave",
    "It is not what the owner of that key passed on, or nobody can say that it is.",
    6,
)

_BUILD = "aotpack build --portable --force ...   # build it again"
_SHOWN = 5
#: GNU's, Intel's and LLVM's, under whatever name a wheel gives them.
_OPENMP = re.compile(r"(libgomp|libiomp5|libomp)\b.*\.so")


def _copy(bundle: Bundle) -> str:
    command = (
        f"cp SOURCE {quoted(bundle.path)}"
        if bundle.is_single
        else f"rsync -a --checksum SOURCE/ {quoted(bundle.path)}/"
    )
    return f"{command}   # copy the bundle again from where it came"


def _list(faults: tuple[Fault, ...]) -> str:
    shown = "; ".join(f"{fault.path}: {fault.what}" for fault in faults[:_SHOWN])
    return shown + (f"; and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else "")


@check(UNTRUSTED)
def description(facts: HostFacts) -> Iterator[Finding]:
    if facts.bundle and facts.bundle.problem:
        yield UNTRUSTED.found(facts.bundle.problem, _copy(facts.bundle), _BUILD)


@check(CHANGED, MISSING, FOREIGN)
def files(facts: HostFacts) -> Iterator[Finding]:
    if facts.bundle is None:
        return
    for kind, faults in (
        (CHANGED, facts.bundle.faults_of(FaultKind.CHANGED)),
        (MISSING, facts.bundle.faults_of(FaultKind.MISSING)),
    ):
        if faults:
            yield kind.found(_list(faults), _copy(facts.bundle), _BUILD)
    if foreign := facts.bundle.faults_of(FaultKind.FOREIGN):
        names = " ".join(quoted(f"./{fault.path}") for fault in foreign[:_SHOWN])
        yield FOREIGN.found(_list(foreign), f"cd {quoted(facts.bundle.path)} && rm {names}")


@check(OUTSIDE_PATH, OUTSIDE_LINK, DANGLING, UNRESOLVED, DISAGREES, OTHER_MACHINE)
def built_wrong(facts: HostFacts) -> Iterator[Finding]:
    if facts.bundle is None:
        return
    for kind, fault_kind in (
        (OUTSIDE_PATH, FaultKind.OUTSIDE_PATH),
        (OUTSIDE_LINK, FaultKind.OUTSIDE_LINK),
        (DANGLING, FaultKind.DANGLING),
        (UNRESOLVED, FaultKind.UNRESOLVED),
        (DISAGREES, FaultKind.DISAGREES),
        (OTHER_MACHINE, FaultKind.MACHINE),
    ):
        if faults := facts.bundle.faults_of(fault_kind):
            yield kind.found(_list(faults), _BUILD)


@check(STACK)
def stacks(facts: HostFacts) -> Iterator[Finding]:
    if facts.bundle and (faults := facts.bundle.faults_of(FaultKind.STACK)):
        yield STACK.found(
            _list(faults),
            f"patchelf --clear-execstack {quoted(os.path.basename(faults[0].path))}   # before packing it",
            _BUILD,
        )


@check(STATIC_TLS)
def early(facts: HostFacts) -> Iterator[Finding]:
    if facts.bundle and (faults := facts.bundle.faults_of(FaultKind.EARLY)):
        yield STATIC_TLS.found(
            _list(faults), "compile that library without -ftls-model=initial-exec, then build again", _BUILD
        )


@check(OPENMP)
def openmp(facts: HostFacts) -> Iterator[Finding]:
    seen: dict[str, str] = {}
    for path, _part, _size in facts.bundle.sizes if facts.bundle else ():
        match = _OPENMP.match(os.path.basename(path))
        if match:
            seen.setdefault(match[1], path)
    if len(seen) > 1:
        yield OPENMP.found(", ".join(seen.values()), "link the library that brings the second against libgomp", _BUILD)


@check(UNLICENSED)
def terms(facts: HostFacts) -> Iterator[Finding]:
    if facts.bundle and facts.bundle.unlicensed:
        yield UNLICENSED.found(
            ", ".join(facts.bundle.unlicensed), f"aotpack inspect --sbom {quoted(facts.bundle.path)}"
        )


@check(UNSIGNED)
def signature(facts: HostFacts) -> Iterator[Finding]:
    if facts.bundle and facts.bundle.unsigned:
        yield UNSIGNED.found(
            facts.bundle.unsigned, _copy(facts.bundle), "ask the publisher which key it is signed with"
        )


@check(DEVELOPMENT)
def development(facts: HostFacts) -> Iterator[Finding]:
    if facts.bundle and not facts.bundle.portable:
        yield DEVELOPMENT.found(facts.bundle.path, "aotpack build --portable ...   # for a bundle that travels")
