"""Which tests begin first, where several processes run them."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import LONGEST

TESTS = Path(__file__).resolve().parents[2]


def test_every_folder_of_long_tests_has_its_turn() -> None:
    assert [place for place in LONGEST if not (TESTS / place).exists()] == []
    folders = {f"integration/{path.parent.name}/" for path in TESTS.glob("integration/*/test_*.py")}
    assert {place for place in LONGEST if place.endswith("/")} == {*folders, "fuzz/"}
