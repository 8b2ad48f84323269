"""What a .pt2 is, from the names in it alone: a build with nothing to do looks at no more of it."""

from __future__ import annotations

import re
from pathlib import Path

from aotpack.package.archive import Archive, open_archive

#: A file of a compiled model: the model's name, and the file below it.
COMPILED_ENTRY = re.compile(r"[^/]+/data/aotinductor/([^/]+)/(.+)")


def holds_program(path: Path) -> bool:
    """Whether a .pt2 is a graph that torch.export.save wrote, and no compiled model. Raises as `open_archive`."""
    with open_archive(path) as archive:
        return has_program(archive) and not any(COMPILED_ENTRY.fullmatch(entry) for entry in archive.names)


def has_program(archive: Archive) -> bool:
    """Whether a graph that torch.export.save wrote is among the files."""
    return any("/models/" in entry or entry.endswith("serialized_exported_program.json") for entry in archive.names)
