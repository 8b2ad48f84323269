"""How long tests take: hooks that conftest.py takes over, and `python -m tests.support.times`, which writes the table
of the slowest into CONTRIBUTING.md from what the last `make test` recorded.

Beside the time on the clock stands the processor's, of the test and the processes that it started: that figure is the
same on a busy machine.
"""

from __future__ import annotations

import json
import resource
from collections import defaultdict
from collections.abc import Generator
from pathlib import Path
from typing import TypedDict

import pytest

ROOT = Path(__file__).resolve().parents[2]
RECORD = ROOT / ".cache" / "times.json"
PAGE = ROOT / "CONTRIBUTING.md"
BEGIN, END = "<!-- slowest: begin -->\n", "<!-- slowest: end -->\n"
ROWS = 20


class Time(TypedDict):
    """Seconds of one test, with its fixtures."""

    clock: float
    processor: float


#: Seconds of processes that worked for this one and that it did not start itself, as told to `add`.
_ELSEWHERE: list[float] = []


def add(seconds: float) -> None:
    """The processor's time of a process whose parent is another."""
    _ELSEWHERE.append(seconds)


def _processor() -> float:
    """Seconds of this process and of those that it started and that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used) + sum(_ELSEWHERE)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note the processor's time so far beside each phase; properties of reports travel to the process that collects."""
    report = yield
    last = item.session.stash.get(_LAST, _START)
    item.session.stash[_LAST] = now = _processor()
    report.user_properties.append(("processor", now - last))
    return report


_LAST = pytest.StashKey[float]()
_START = _processor()


class Times:
    """Adds up what all processes report, and writes it down when the session ends."""

    def __init__(self) -> None:
        self.seen: dict[str, Time] = defaultdict(lambda: Time(clock=0.0, processor=0.0))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """One phase of one test."""
        time = self.seen[report.nodeid.partition("@")[0]]  # without the group that xdist appends
        time["clock"] += report.duration
        time["processor"] += dict(report.user_properties).get("processor", 0.0)

    def pytest_sessionfinish(self) -> None:
        """Later runs of some tests leave the others' times as they are."""
        known: dict[str, Time] = json.loads(RECORD.read_text()) if RECORD.exists() else {}
        RECORD.parent.mkdir(parents=True, exist_ok=True)
        RECORD.write_text(json.dumps(known | self.seen, indent=1))


def pytest_configure(config: pytest.Config) -> None:
    """Only where the results of all processes come together."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Times())


def table(times: dict[str, Time], rows: int = ROWS) -> str:
    """Markdown: the tests that take the processor longest; the parameters of one test are added up."""
    tests: dict[str, Time] = defaultdict(lambda: Time(clock=0.0, processor=0.0))
    for name, time in times.items():
        total = tests[name.partition("[")[0]]
        total["clock"] += time["clock"]
        total["processor"] += time["processor"]
    slowest = sorted(tests.items(), key=lambda item: -item[1]["processor"])[:rows]
    lines = ["| test, with the fixtures that it is the first to ask for | processor, s | clock, s |", "|---|---|---|"]
    for name, time in slowest:
        place, _, function = name.removeprefix("tests/").partition("::")
        lines.append(f"| `{place}` `{function}` | {time['processor']:.0f} | {time['clock']:.0f} |")
    whole = sum(time["processor"] for time in tests.values())
    return "\n".join([*lines, f"| all {len(tests)} | {whole:.0f} | |", ""])


def main() -> None:
    """Put the table into CONTRIBUTING.md."""
    before, rest = PAGE.read_text().split(BEGIN)
    _, after = rest.split(END)
    PAGE.write_text(before + BEGIN + table(json.loads(RECORD.read_text())) + END + after)


if __name__ == "__main__":
    main()
