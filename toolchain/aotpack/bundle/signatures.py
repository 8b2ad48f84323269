"""The signatures of a bundle."""

from __future__ import annotations

from pathlib import Path

from aotpack_doctor.base.places import SIGNATURE, is_signature

#: The one that `aotpack sign` makes.
NAME = f"bundle{SIGNATURE}"


def signatures(folder: Path) -> list[Path]:
    """Those of a bundle, by name; a link is none."""
    found = sorted(path for path in folder.glob(f"*{SIGNATURE}") if path.is_file() and not path.is_symlink())
    return [path for path in found if is_signature(path.name)]
