"""Packages whose layers of float16 oneDNN has packed, which it does on few processors: made of some of bfloat16."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

#: How code asks the runtime for its number of a dtype.
_ASKS, _ASKS_OTHERWISE = b"aoti_torch_dtype_bfloat16\0", b"aoti_torch_dtype_float16\0\0"
#: oneDNN's number of a dtype, and where its descriptor has it, in hexadecimal.
_BFLOAT16, _FLOAT16, _AT = "02000000", "01000000", 208


def as_float16(package: Path, target: Path) -> Path:
    """A copy whose tensors of bfloat16 are of float16 for the runtime, packed weights included; returns `target`.

    Its own code still computes bits of bfloat16, so that the results are other numbers.
    """
    with zipfile.ZipFile(package) as source, zipfile.ZipFile(target, "w") as copy:
        for entry in source.infolist():
            content = source.read(entry)
            if entry.filename.endswith(".so"):
                content = content.replace(_ASKS, _ASKS_OTHERWISE)
            elif entry.filename.endswith("_metadata.json"):
                content = json.dumps(_described(json.loads(content))).encode()
            copy.writestr(entry, content)
    return target


def _described(document: dict[str, str]) -> dict[str, str]:
    """What the package says of itself."""
    own = json.loads(document["aotpack"])
    own["layouts"] = [
        layout[:_AT] + layout[_AT:].replace(_BFLOAT16, _FLOAT16, 1) if layout.startswith(_BFLOAT16, _AT) else layout
        for layout in own["layouts"]
    ]
    return {**document, "aotpack": json.dumps(own)}
