"""Versions as numbers: enough for drivers, libraries and torch releases."""

from __future__ import annotations

import re


def key(text: str) -> tuple[int, ...]:
    """`2.10.0a0+git` -> (2, 10, 0): the dotted numbers that a version starts with."""
    found = re.match(r"\d+(?:\.\d+)*", text)
    return tuple(int(part) for part in found[0].split(".")) if found else ()


def older(text: str, floor: str) -> bool:
    """Whether a version is below a floor; versions of unequal length compare as if filled with zeros."""
    left, right = key(text), key(floor)
    length = max(len(left), len(right))
    return left + (0,) * (length - len(left)) < right + (0,) * (length - len(right))


def major(text: str) -> int | None:
    """The first number."""
    numbers = key(text)
    return numbers[0] if numbers else None
