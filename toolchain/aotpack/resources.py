"""Where aotpack's own files are: bridge sources, recipes, templates.

A wheel carries them in `aotpack/_data`; in a checkout they lie at the top of the repository.
"""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
_PACKED = _PACKAGE / "_data"
_ROOT = _PACKED if _PACKED.is_dir() else _PACKAGE.parents[1]

BRIDGE: Path = _ROOT / "bridge"
RECIPES: Path = _ROOT / "recipes"
TEMPLATES: Path = _ROOT / "templates"
SCHEMAS: Path = _PACKAGE / "schemas"
