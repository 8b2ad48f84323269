"""File names for people: they may hold what moves a terminal's cursor, ends a line, or is no text at all."""

from __future__ import annotations

import os
import re


def printable(text: str) -> str:
    """The text with an escape in place of each character that is not to be seen."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def quoted(text: str) -> str:
    """A word for a shell, to be copied: as it is where that is safe, else in quotes."""
    if re.fullmatch(r"[\w@%+=:,./-]+", text, re.ASCII) and not text.startswith("-"):
        return text
    if text.isprintable():
        return "'" + text.replace("'", "'\"'\"'") + "'"
    return "$'" + "".join(map(_escaped, text)) + "'"


def _escaped(c: str) -> str:
    if c in "\\'":
        return "\\" + c
    return c if c.isprintable() else "".join(f"\\x{byte:02x}" for byte in os.fsencode(c))
