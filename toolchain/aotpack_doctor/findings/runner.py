"""Runs checks over facts. A check that crashes becomes a finding; the others go on."""

from __future__ import annotations

from typing import Iterable

from aotpack_doctor.facts import HostFacts
from aotpack_doctor.findings.finding import Finding, worst_first
from aotpack_doctor.findings.registry import CRASHED, Check, checks


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
