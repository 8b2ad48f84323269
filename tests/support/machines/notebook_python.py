"""A Python that has both torch and aotpack, as a notebook's would: the backend's, with this one's packages behind."""

from __future__ import annotations

import sysconfig
from pathlib import Path

from tests.support.packages.exporting import ROOT

#: To be run first in such a process.
PATHS = f"import sys; sys.path[:0] = [{str(ROOT / 'toolchain')!r}]; sys.path += [{sysconfig.get_path('purelib')!r}]"


def command(python: Path, program: str) -> list[str]:
    """A command that runs a program's text there."""
    return [str(python), "-c", f"{PATHS}\n{program}"]
