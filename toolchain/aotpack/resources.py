"""Where aotpack's own files are: bridge sources, recipes, templates.

A wheel carries them in `aotpack/_data`; in a checkout they lie at the top of the repository.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

#: aotpack itself.
PACKAGE: Path = Path(__file__).resolve().parent
_PACKED = PACKAGE / "_data"
_ROOT = _PACKED if _PACKED.is_dir() else PACKAGE.parents[1]

BRIDGE: Path = _ROOT / "bridge"
RECIPES: Path = _ROOT / "recipes"
TEMPLATES: Path = _ROOT / "templates"
LICENSE: Path = _ROOT / "LICENSE"
#: Compiled parts; only in a wheel that `make wheel` made.
COMPILED: Path = _PACKED / "compiled"
SCHEMAS: Path = PACKAGE / "schemas"
#: The doctor, a package of its own that also travels in bundles.
DOCTOR: Path = PACKAGE.parent / "aotpack_doctor"
#: What it says of each finding at length; travels with it.
DOCTOR_PAGE: Path = _ROOT / "docs" / "doctor.md"


def files_below(folder: Path) -> Iterator[Path]:
    """A folder's own files, sorted: no bytecode, and nothing hidden that an editor or a checker left in a checkout."""
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in ("__pycache__", "target") and name[0] != ".")
        for name in sorted(files):
            if name[0] != ".":
                yield Path(parent) / name
