"""AP2xx: the torch that a build takes, and whether it fits the backend."""

from __future__ import annotations

from typing import Iterator

from aotpack_doctor.base.printable import quoted
from aotpack_doctor.facts import SHIM_HEADER, HostFacts, Torch
from aotpack_doctor.findings.finding import Finding, Kind, Severity
from aotpack_doctor.findings.registry import check

NONE = Kind("AP201", Severity.ERROR, "No torch", "aotpack packs the libraries of an installed PyTorch.", 3)
VARIANT = Kind(
    "AP202",
    Severity.ERROR,
    "torch was built for another backend",
    "A bundle is built from a torch of its own backend: that torch's libraries travel in it.",
    3,
)
BROKEN = Kind(
    "AP203",
    Severity.ERROR,
    "torch is broken",
    "An installation was interrupted or changed by hand; neither a build nor an export can use it.",
    3,
)
OLD = Kind(
    "AP204",
    Severity.ERROR,
    "torch is too old",
    "The bridge speaks the AOTInductor interface of torch 2.9 and newer.",
    3,
)
OTHER_ACTIVE = Kind(
    "AP205",
    Severity.WARNING,
    "Another environment is active than the one that is used",
    "What you install with pip goes into the active environment; aotpack takes torch from the other one.",
    3,
)
USER_SITE = Kind(
    "AP206",
    Severity.WARNING,
    "torch comes from the user site",
    "Packages in your home directory are imported before those of the environment, whatever is installed there.",
    3,
)
PACKAGE_MISSING = Kind(
    "AP207",
    Severity.ERROR,
    "A package that torch needs is missing",
    "torch's wheel leaves libraries to other packages; without them it does not load, here or in a bundle.",
    3,
)
PACKAGE_VERSION = Kind(
    "AP208",
    Severity.WARNING,
    "A package has another version than torch asks for",
    "torch was built and tested against exactly the version it names; another may lack symbols or give wrong results.",
    3,
)
ABI = Kind(
    "AP209",
    Severity.ERROR,
    "LIBTORCH_CXX11_ABI contradicts the libtorch",
    "Code compiled for one C++ ABI does not find the symbols of a libtorch built for the other.",
    3,
)
NO_HEADERS = Kind(
    "AP210",
    Severity.ERROR,
    "torch has no headers",
    "The bridge takes the types of AOTInductor's C interface from the headers of the torch it is built for.",
    3,
)

_PROBLEMS = {"none": NONE, "broken": BROKEN, "old": OLD, "variant": VARIANT}


def _usable(facts: HostFacts) -> Torch | None:
    return facts.torch if facts.torch is not None and facts.torch.problem is None else None


@check(NONE, VARIANT, BROKEN, OLD)
def found(facts: HostFacts) -> Iterator[Finding]:
    torch = facts.torch
    if torch is None or torch.problem is None:
        return
    fix = [f"aotpack init --backend {facts.backend}"]
    if torch.problem == "broken":
        fix = ["pip install --force-reinstall torch   # in that environment", *fix]
    serving = [other for other in torch.others if f"({facts.backend}" in other.label]
    if torch.problem == "variant" and serving:
        fix = [f"aotpack build --backend {facts.backend} --venv {quoted(serving[0].path)} ...", *fix]
    # A portable bundle needs no torch any more, only its next build does; a development bundle tells by its links.
    severity = Severity.INFO if facts.bundle and facts.bundle.problem is None else None
    yield _PROBLEMS[torch.problem].found(torch.explanation, *fix, severity=severity)


@check(OTHER_ACTIVE)
def active(facts: HostFacts) -> Iterator[Finding]:
    torch = _usable(facts)
    if torch and torch.active and torch.active != torch.path:
        label = next((f" with torch {other.label}" for other in torch.others if other.path == torch.active), "")
        yield OTHER_ACTIVE.found(
            f"active: {torch.active}{label}; used: {torch.path} with torch {torch.label} (from {torch.source})",
            f"aotpack build --backend {facts.backend} --venv {quoted(torch.active)} ...   # to use the active one",
            f"source {quoted(torch.path)}/bin/activate   # to work in the used one",
        )


@check(USER_SITE)
def user_site(facts: HostFacts) -> Iterator[Finding]:
    torch = _usable(facts)
    if torch and torch.user_site:
        yield USER_SITE.found(
            torch.user_site,
            f"aotpack init --backend {facts.backend}",
            "python3 -m pip uninstall torch   # outside of any environment",
        )


@check(PACKAGE_MISSING, PACKAGE_VERSION)
def packages(facts: HostFacts) -> Iterator[Finding]:
    torch = _usable(facts)
    if not torch:
        return
    install = f"{quoted(torch.path)}/bin/python3 -m pip install"
    missing = [need for need in torch.needs if need.installed is None]
    if missing:
        yield PACKAGE_MISSING.found(
            f"torch {torch.version} asks for {', '.join(need.name + need.wanted for need in missing)}: not installed",
            f"{install} {' '.join(quoted(need.name + need.wanted) for need in missing)}",
        )
    other = [need for need in torch.needs if need.installed is not None]
    if other:
        yield PACKAGE_VERSION.found(
            "; ".join(f"{need.name} {need.installed}, torch {torch.version} asks for {need.wanted}" for need in other),
            f"{install} {' '.join(quoted(need.name + need.wanted) for need in other)}",
        )


@check(ABI)
def abi(facts: HostFacts) -> Iterator[Finding]:
    torch = facts.torch
    if torch is None or torch.cxx11_abi is None or torch.declared_abi is None:
        return
    actual = "1" if torch.cxx11_abi else "0"
    if actual != torch.declared_abi:
        yield ABI.found(
            f"LIBTORCH_CXX11_ABI={torch.declared_abi}, but {torch.path} was built with {actual}",
            "unset LIBTORCH_CXX11_ABI",
        )


@check(NO_HEADERS)
def headers(facts: HostFacts) -> Iterator[Finding]:
    torch = _usable(facts)
    if torch and not torch.headers:
        yield NO_HEADERS.found(
            f"{torch.path} has no {SHIM_HEADER}",
            f"{quoted(torch.path)}/bin/python3 -m pip install --force-reinstall --no-deps torch=={torch.version}",
        )
