"""The table of checks. A check module registers its functions when it is imported."""

from __future__ import annotations

from typing import Callable, Iterator, NamedTuple

from aotpack_doctor.facts import HostFacts
from aotpack_doctor.findings.finding import Finding, Kind, Severity

Run = Callable[[HostFacts], Iterator[Finding]]


class Check(NamedTuple):
    """A pure function over facts and the kinds of findings it may yield; all kinds are of one group."""

    name: str
    kinds: tuple[Kind, ...]
    run: Run

    @property
    def group(self) -> str:
        return self.kinds[0].group


CRASHED = Kind(
    "AP190",
    Severity.WARNING,
    "A check of the doctor failed",
    "This is a defect of the doctor itself; what the check looks for is not known, the other checks are not affected.",
    1,
)

_checks: list[Check] = []


def check(*kinds: Kind) -> Callable[[Run], Run]:
    """Register a check that may yield these kinds of findings."""

    def register(run: Run) -> Run:
        _checks.append(Check(run.__name__, kinds, run))
        return run

    return register


def checks() -> tuple[Check, ...]:
    """All checks, by group."""
    from aotpack_doctor.findings import checks as modules  # registers them

    assert modules  # noqa: S101
    return tuple(sorted(_checks, key=lambda each: each.kinds[0].code))


def kinds() -> dict[str, Kind]:
    """All codes."""
    found = [CRASHED, *(kind for each in checks() for kind in each.kinds)]
    return {kind.code: kind for kind in sorted(found, key=lambda kind: kind.code)}
