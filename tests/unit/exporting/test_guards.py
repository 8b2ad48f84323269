"""The language of guards, held to the table that the bridge's evaluator is held to as well."""

from __future__ import annotations

import json
from typing import Any

import pytest

from aotpack import resources
from aotpack.exporting.worker.graph import guard_language

CASES: list[dict[str, Any]] = json.loads((resources.BRIDGE / "tests" / "data" / "guard_cases.json").read_bytes())


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['text']} at {list(case['sizes'].values())}")
def test_value_and_text(case: dict[str, Any]) -> None:
    guard_language.check(case["that"])
    sizes = {"a": 0, "b": 0, "c": 0, **case["sizes"]}
    assert guard_language.evaluate(case["that"], sizes) == case["value"]
    assert guard_language.text(case["that"], {}) == case["text"]
    assert set(guard_language.symbols(case["that"])) <= set(case["sizes"])


def test_symbols_are_told_in_the_users_words() -> None:
    text = guard_language.text(["==", ["%", ["+", "s77", "rows"], 8], 0], {"s77": "x.shape[0]"})
    assert text == "x.shape[0] + rows is a multiple of 8"


@pytest.mark.parametrize(
    ("that", "text"),
    [
        ([">=", ["+", "a", ["*", "b", -1]], 2], "a - b >= 2"),
        (["<", ["+", ["*", "a", "b", -2], 8], 5], "-2 * a * b + 8 < 5"),
        (["==", ["%", ["*", ["+", "a", 1], -1], 3], 0], "-(a + 1) is a multiple of 3"),
    ],
)
def test_differences_read_as_such(that: Any, text: str) -> None:
    """torch writes them as sums with products by -1."""
    assert guard_language.text(that, {}) == text


def nested(times: int) -> Any:
    return ["+", 1, nested(times - 1)] if times else "a"


@pytest.mark.parametrize(
    "wrong", [None, 1.5, True, [], ["^", "a", 1], ["==", "a"], ["-", "a", 1, 2], ["not", "a", 1], [1, 2], nested(24)]
)
def test_what_is_no_expression(wrong: Any) -> None:
    with pytest.raises(ValueError, match=r"no |too deep"):
        guard_language.check(wrong)
    guard_language.check(nested(23))
