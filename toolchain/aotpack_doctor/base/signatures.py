"""Signatures lie beside `bundle.json`: the only files that a sealed bundle may gain."""

from __future__ import annotations

#: How their names end.
SUFFIX = ".sig"


def is_signature(path: str) -> bool:
    """Whether a path relative to the bundle is that of a signature."""
    return "/" not in path and path.endswith(SUFFIX)
