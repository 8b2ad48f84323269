"""Weights of several variants of a model in one file: what is the same in all of them is there once.

What one variant has several times is there as often: a call may change one of them, and the others must not change with
it.
"""

from __future__ import annotations

import hashlib
import mmap
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

#: What of a constant says how it lies, apart from where.
_FORM = ("shape", "strides", "offset", "size", "convolution")


def merge(described: Sequence[Mapping[str, Any]], blobs: Sequence[Path | None]) -> tuple[dict[str, Any], list[Any]]:
    """Append to the first variant's file of weights what others have besides.

    Args:
        described: what `constants.describe` says of each variant.
        blobs: the file of each; None where it has no weights outside of its library.

    Returns the description of all their constants, with the digests of what convolutions multiply by, and for each
    variant which of them it has: None for all. The first variant's are the first, so that who knows of no others finds
    them where torch wrote them.
    """
    merged = {key: list(described[0].get(key, ())) for key in ("constants", "layouts", "packed_weights")}
    if blobs[0] is None:
        return dict(described[0]), [None] * len(described)
    known: dict[tuple[Any, ...], int] = {}
    chosen: list[list[int]] = []
    end = blobs[0].stat().st_size
    with blobs[0].open("ab") as target:
        for one, blob in zip(described, blobs, strict=True):
            rows = {packed["constant"]: packed.get("rows") for packed in one.get("packed_weights", ())}
            mapped = _mapped(blob)
            own = []
            copies: Counter[tuple[Any, ...]] = Counter()
            for index, constant in enumerate(one.get("constants", ())):
                layout = one["layouts"][constant["layout"]] if "layout" in constant else None
                content = mapped[constant["begin"] : constant["begin"] + constant["size"]]
                digest = hashlib.sha256(content).hexdigest()
                form = tuple(str(constant.get(key)) for key in _FORM)
                same = (layout, rows.get(index), form, digest)
                key = (same, copies[same])
                copies[same] += 1
                told = {**constant, "sha256": digest} if "convolution" in constant else constant
                if one is described[0]:
                    merged["constants"][index] = told
                    known[key] = index
                    own.append(index)
                    continue
                if key not in known:
                    known[key] = len(merged["constants"])
                    target.write(content)
                    _append(merged, told, layout, rows.get(index), end)
                    end += constant["size"]
                own.append(known[key])
            chosen.append(own)
    everything = list(range(len(merged["constants"])))
    return merged, [None if own == everything else own for own in chosen]


def _append(
    merged: dict[str, list[Any]], constant: Mapping[str, Any], layout: str | None, rows: int | None, begin: int
) -> None:
    entry = {**constant, "begin": begin}
    if layout is not None:
        if layout not in merged["layouts"]:
            merged["layouts"].append(layout)
        entry["layout"] = merged["layouts"].index(layout)
        packed = {"constant": len(merged["constants"]), "begin": begin}
        merged["packed_weights"].append(packed if rows is None else {**packed, "rows": rows})
    merged["constants"].append(entry)


def _mapped(blob: Path | None) -> Any:
    if blob is None or blob.stat().st_size == 0:
        return b""
    with blob.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
