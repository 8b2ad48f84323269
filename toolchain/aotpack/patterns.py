"""Patterns of names, as recipes write them."""

from __future__ import annotations

import fnmatch


def matches_any(name: str, patterns: tuple[str, ...]) -> bool:
    """Whether a file name or soname matches one of the patterns."""
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
