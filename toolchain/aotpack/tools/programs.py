"""Finding the programs that aotpack runs."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from aotpack.errors import BuildToolError


def find_tool(name: str, fix: str) -> str:
    """A program beside this interpreter (where pip puts the ones from PyPI) or on PATH."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.is_file() else shutil.which(name)
    if found is None:
        raise BuildToolError(f"{name}: not found on PATH", meaning="a bundle's libraries cannot be edited", fix=fix)
    return found
