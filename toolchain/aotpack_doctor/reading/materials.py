"""What a bundle's bill of materials does not say."""

from __future__ import annotations

import json
import os

from aotpack_doctor.base.regular import read_regular

NAME = "sbom.cdx.json"


def unlicensed(folder: str) -> tuple[str, ...]:
    """Components whose licence nobody says; models and assets are their owner's. Nothing where there is no bill to be
    read: that its file is missing or changed is told elsewhere."""
    try:
        document = json.loads(read_regular(os.path.join(folder, NAME), follow=False))
        return tuple(
            str(entry["name"])
            for entry in document["components"]
            if entry["type"] not in ("machine-learning-model", "data") and not entry.get("licenses")
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return ()
