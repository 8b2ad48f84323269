"""The table of checks. A check module registers its functions when it is imported."""

from __future__ import annotations

from typing import Callable, Iterator, NamedTuple

from aotpack_doctor.facts import HostFacts
from aotpack_doctor.findings.finding import Finding, Kind

Run = Callable[[HostFacts], Iterator[Finding]]


class Check(NamedTuple):
    """A pure function over facts and the kinds of findings it may yield; all kinds are of one group."""

    name: str
    kinds: tuple[Kind, ...]
    run: Run

    @property
    def group(self) -> str:
        return self.kinds[0].group


_checks: list[Check] = []


def check(*kinds: Kind) -> Callable[[Run], Run]:
    """Register a check that may yield these kinds of findings."""

    def register(run: Run) -> Run:
        _checks.append(Check(run.__name__, kinds, run))
        return run

    return register


def registered() -> tuple[Check, ...]:
    """The checks of the modules that were imported, by group."""
    return tuple(sorted(_checks, key=lambda each: each.kinds[0].code))
