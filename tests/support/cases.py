"""Tables of cases in bridge/tests (`*_cases.inc`), which the bridge's own tests include: rows of texts in a macro."""

from __future__ import annotations

import re
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / "bridge/tests"


def cases(file: str, macro: str) -> list[tuple[str, ...]]:
    """The rows of a file, each `MACRO("...", "...")`, in one line or several."""
    text = (FOLDER / file).read_text(encoding="utf-8")
    rows = re.findall(rf'^{macro}\((\s*"[^"]*"(?:,?\s*"[^"]*")*)\)', text, re.MULTILINE)
    assert len(rows) == text.count(f"\n{macro}(") > 1, f"{file} has rows that are not read"
    return [tuple(re.findall(r'"([^"]*)"', re.sub(r'"\s+"', "", row))) for row in rows]
