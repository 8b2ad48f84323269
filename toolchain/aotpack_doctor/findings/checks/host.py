"""AP1xx: the build machine and its tools."""

from __future__ import annotations

from typing import Iterator

from aotpack_doctor import programs
from aotpack_doctor.base import versions
from aotpack_doctor.facts import HostFacts, Program
from aotpack_doctor.findings.finding import Finding, Kind, Severity
from aotpack_doctor.findings.registry import check

NO_COMPILER = Kind(
    "AP101",
    Severity.ERROR,
    "No C or C++ compiler",
    "The bridge and every exported model (C++), and the launcher (C), are compiled on this machine.",
    4,
)
OLD_COMPILER = Kind(
    "AP102",
    Severity.ERROR,
    "The C++ compiler is too old for torch's headers",
    "torch's headers use a newer C++ than this compiler speaks, so nothing that includes them compiles.",
    4,
)
NO_BUILD_TOOL = Kind(
    "AP103",
    Severity.ERROR,
    "A build tool is missing or too old",
    "The bridge is built with CMake 3.18 or newer and Ninja 1.10 or newer; both come from PyPI with aotpack.",
    4,
)
NO_PATCHELF = Kind(
    "AP104",
    Severity.ERROR,
    "No patchelf",
    "A portable bundle's libraries get search paths relative to themselves, which patchelf writes.",
    4,
)
NO_STRIP = Kind(
    "AP105",
    Severity.ERROR,
    "No strip",
    "aotpack strips torch's libraries in a portable bundle, which makes them a fifth smaller; without strip it stops.",
    4,
)
LITTLE_SPACE = Kind(
    "AP106",
    Severity.WARNING,
    "Little disk space",
    "A bundle is written beside the old one and moved into place at the end, so both need room for a while.",
    1,
)
NO_SANDBOX = Kind(
    "AP107",
    Severity.INFO,
    "No sandbox",
    "aotpack verify --run proves a bundle in a root that holds nothing else; without a sandbox it is less strict.",
    4,
)

_CMAKE, _NINJA = "3.18", "1.10"


@check(NO_COMPILER, OLD_COMPILER)
def compiler(facts: HostFacts) -> Iterator[Finding]:
    if facts.tools is None:
        return
    for language, each in (("C++", facts.tools.compiler), ("C", facts.tools.c_compiler)):
        if each.path is None:
            variable, names = programs.COMPILERS[language]
            yield NO_COMPILER.found(
                f"neither {variable} nor PATH ({', '.join(names)}) names one that answers",
                programs.INSTALL[language],
                f"{variable}=/path/to/compiler aotpack doctor",
            )
    found = facts.tools.compiler
    oldest = facts.torch.oldest_gcc if facts.torch else None
    number = versions.major(found.version or "")
    if facts.tools.compiler_kind == "gcc" and oldest is not None and number is not None and number < oldest:
        yield OLD_COMPILER.found(
            f"{found.path} is gcc {found.version}; torch's headers want {oldest} or newer",
            f"sudo apt-get install g++-{oldest}",
            f"CXX=g++-{oldest} aotpack build ...",
        )


@check(NO_BUILD_TOOL)
def build_tools(facts: HostFacts) -> Iterator[Finding]:
    if facts.tools is None:
        return
    for name, found, floor in (("cmake", facts.tools.cmake, _CMAKE), ("ninja", facts.tools.ninja, _NINJA)):
        if found.path is None:
            yield NO_BUILD_TOOL.found(f"{name} is neither beside aotpack nor on PATH", programs.INSTALL[name])
        elif found.version and versions.older(found.version, floor):
            yield NO_BUILD_TOOL.found(f"{found.path} is {name} {found.version}, not {floor}", programs.INSTALL[name])


@check(NO_PATCHELF, NO_STRIP)
def editing_tools(facts: HostFacts) -> Iterator[Finding]:
    if facts.tools is None:
        return
    tools: tuple[tuple[Program, Kind, str, str], ...] = (
        (facts.tools.patchelf, NO_PATCHELF, "patchelf", programs.INSTALL["patchelf"]),
        (facts.tools.strip, NO_STRIP, "strip", programs.INSTALL["strip"]),
    )
    for found, kind, name, fix in tools:
        if found.path is None:
            yield kind.found(f"{name} is neither beside aotpack nor on PATH", fix)


@check(LITTLE_SPACE)
def space(facts: HostFacts) -> Iterator[Finding]:
    disk = facts.disk
    if disk is not None and disk.free < disk.needed:
        yield LITTLE_SPACE.found(
            f"{disk.free / 1e9:.1f} GB free at {disk.path}; a portable bundle takes about {disk.needed / 1e9:.1f} GB",
            "df -h .",
            "aotpack build --output /another/disk/NAME ...",
        )


@check(NO_SANDBOX)
def sandbox(facts: HostFacts) -> Iterator[Finding]:
    if facts.tools is not None and facts.tools.sandbox is None:
        yield NO_SANDBOX.found(
            "neither bubblewrap nor unprivileged user namespaces are available", programs.INSTALL["bwrap"]
        )
