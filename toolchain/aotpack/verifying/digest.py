"""A bundle against a digest that travelled another way."""

from __future__ import annotations

import re
from pathlib import Path

from aotpack.bundle.manifest import Bundle
from aotpack.errors import DamagedError, UsageError


def check_digest(folder: Path, bundle: Bundle, digest: str) -> None:
    """Make sure that a bundle is the one of a digest: `sha256:` and 64 hexadecimal digits.

    Raises:
        UsageError: that is no digest.
        DamagedError: the bundle has another.
    """
    if not re.fullmatch(r"(sha256:)?[0-9a-fA-F]{64}", digest):
        raise UsageError(
            f"--digest {digest}: not a SHA-256",
            meaning="a digest is sha256: and 64 hexadecimal digits",
            fix="take it from aotpack verify, run where the bundle was built",
        )
    asked = digest.rpartition(":")[2].lower()
    if asked != bundle.digest:
        raise DamagedError(
            f"{folder}: its digest is sha256:{bundle.digest[:12]}..., asked for was sha256:{asked[:12]}...",
            meaning="this is another bundle than the one whose digest you were given",
            fix="get the bundle again from its publisher, or ask for the digest again",
        )
