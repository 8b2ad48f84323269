"""Writes the table of the zoo into docs/slim.md, from what test_zoo.py measured."""

from __future__ import annotations

import json
import math
from pathlib import Path

from tests.conformance.test_zoo import RESULTS, ROOT, names

DOCUMENT = ROOT / "docs" / "slim.md"
BEGIN, END = "<!-- zoo: begin -->\n", "<!-- zoo: end -->\n"
MEGABYTE = 1e6


def table() -> str:
    """Markdown: a row for each model that was measured, in the order of zoo.py, and the geometric means."""
    lines = [
        "| model | largest error | bundle, MB | model, MB | 1 thread, ms | / full | 2 threads, ms | / full |",
        "|---|---|---|---|---|---|---|---|",
    ]
    ratios: list[tuple[float, float]] = []
    for name in names():
        path = RESULTS / f"{name}.json"
        if not path.exists():
            continue
        r = json.loads(path.read_text())
        (slim_1, full_1), (slim_2, full_2) = r["ms_1"], r["ms_2"]
        ratios.append((slim_1 / full_1, slim_2 / full_2))
        lines.append(
            f"| {name} | {r['error']:.1e} | {r['bundle'] / MEGABYTE:.1f} | {r['weights'] / MEGABYTE:.1f} "
            f"| {slim_1:.3f} | {ratios[-1][0]:.2f} | {slim_2:.3f} | {ratios[-1][1]:.2f} |"
        )
    if ratios:
        one, two = (math.exp(sum(map(math.log, column)) / len(column)) for column in zip(*ratios, strict=True))
        lines.append(f"| {len(ratios)} of {len(names())}, geometric mean | | | | | {one:.2f} | | {two:.2f} |")
    return "\n".join(lines) + "\n"


def write(document: Path) -> None:
    """Replace what stands between the two marks."""
    text = document.read_text()
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    document.write_text(head + BEGIN + table() + END + tail)


if __name__ == "__main__":
    write(DOCUMENT)
