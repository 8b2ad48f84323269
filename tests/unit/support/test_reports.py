"""The tables that the Makefile writes: the slowest tests, coverage by wing."""

from __future__ import annotations

from tests.support import times
from tests.support.times import Time
from tests.tools import coverage_by_wing


def test_parameters_of_a_test_are_added_up_and_the_slowest_come_first() -> None:
    seen = {
        "tests/unit/test_a.py::test_quick": Time(clock=9.0, processor=1.0),
        "tests/integration/test_b.py::test_long[one]": Time(clock=2.0, processor=30.0),
        "tests/integration/test_b.py::test_long[two]": Time(clock=3.0, processor=40.0),
    }
    lines = times.table(seen, rows=1).splitlines()
    assert lines[2:] == ["| `integration/test_b.py` `test_long` | 70 | 5 |", "| all 2 | 71 | |"]


def test_the_table_of_the_slowest_names_tests_that_there_are() -> None:
    _, rest = times.PAGE.read_text().split(times.BEGIN)
    rows = [line.split("`") for line in rest.split(times.END)[0].splitlines() if line.startswith("| `")]
    assert len(rows) == times.ROWS
    for _, place, _, function, _ in rows:
        assert f"def {function}(" in (times.ROOT / "tests" / place).read_text(), f"{place}: make test test-times"


def test_coverage_counts_lines_and_branches_by_wing() -> None:
    def file(lines: int, of: int, branches: int, of_branches: int) -> dict[str, object]:
        numbers = (lines, of, branches, of_branches)
        names = ("covered_lines", "num_statements", "covered_branches", "num_branches")
        return {"summary": {**dict(zip(names, numbers, strict=True)), "percent_covered_display": "1"}}

    files = {
        "toolchain/aotpack/elf/facts.py": file(90, 100, 10, 10),
        "toolchain/aotpack/elf/edits.py": file(0, 10, 0, 5),
        "toolchain/aotpack/exporting/worker/main.py": file(10, 10, 0, 0),
        "templates/runner/aotrun/cli.py": file(3, 4, 0, 0),
    }
    lines = coverage_by_wing.table(files).splitlines()
    assert "| aotpack/elf | 90/110 | 10/15 | 80 % |" in lines
    assert "| aotpack/exporting | 10/10 | 0/0 | 100 % |" in lines
    assert lines[-1] == "below 85 %: aotpack/elf (80 %), aotrun (75 %)"
