"""All checks there are, and their run over facts. A check that crashes becomes a finding; the others go on."""

from __future__ import annotations

from typing import Iterable

from aotpack_doctor.facts import HostFacts
from aotpack_doctor.findings import checks as modules
from aotpack_doctor.findings.finding import Finding, Kind, Severity, worst_first
from aotpack_doctor.findings.registry import Check, registered

CRASHED = Kind(
    "AP190",
    Severity.WARNING,
    "A check of the doctor failed",
    "This is a defect of the doctor itself; what the check looks for is not known, the other checks are not affected.",
    1,
)

OWN = Kind(
    "AP191",
    Severity.ERROR,
    "A message of aotpack or aotrun itself",
    "Such messages have three lines: what is wrong, what it means, and what to type next.",
    1,
)

#: Kinds that no check finds: what a process ends with, and what is said of the doctor itself.
_SAID = (CRASHED, OWN, modules.target.CRASH, modules.target.MAPPED_FILE)

assert modules  # noqa: S101  (imported for the checks that it registers)


def checks() -> tuple[Check, ...]:
    """All checks, by group."""
    return registered()


def kinds() -> dict[str, Kind]:
    """All codes."""
    found = [*_SAID, *(kind for each in checks() for kind in each.kinds)]
    return {kind.code: kind for kind in sorted(found, key=lambda kind: kind.code)}


def examine(facts: HostFacts, among: Iterable[Check] | None = None) -> list[Finding]:
    """All findings, worst first."""
    findings: list[Finding] = []
    for each in checks() if among is None else among:
        try:
            findings += each.run(facts)
        except Exception as error:  # noqa: BLE001  (whatever it is, the user wants the other findings)
            findings.append(
                CRASHED.found(
                    f"check {each.name}: {type(error).__name__}: {error}", "report this, with the output of --json"
                )
            )
    return worst_first(findings)
