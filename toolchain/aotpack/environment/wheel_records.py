"""What wheels said about their files: the hashes that their `RECORD`s hold."""

from __future__ import annotations

import base64
import binascii
import importlib.metadata
from collections.abc import Iterable, Sequence
from pathlib import Path


def wheel_hashes(site_packages: Path, files: Iterable[Path]) -> dict[Path, str]:
    """SHA-256 in hex of those files that a wheel recorded, by path. Reads every `RECORD` of the environment once."""
    wanted = {file.relative_to(site_packages).as_posix(): file for file in files if file.is_relative_to(site_packages)}
    found: dict[Path, str] = {}
    for distribution in importlib.metadata.distributions(path=[str(site_packages)]):
        for record in recorded_files(distribution):
            file = wanted.get(record.as_posix())
            if file is not None and record.hash is not None and record.hash.mode == "sha256":
                digest = _in_hex(record.hash.value)
                if digest is not None:
                    found[file] = digest
    return found


def recorded_files(distribution: importlib.metadata.Distribution) -> Sequence[importlib.metadata.PackagePath]:
    """What a wheel's `RECORD` lists; nothing where it is none, since importlib.metadata trusts every line of it."""
    try:
        return distribution.files or ()
    except (TypeError, ValueError):
        return ()


def _in_hex(encoded: str) -> str | None:
    """From URL-safe base64 without its padding; None for what is none."""
    try:
        return base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True).hex()
    except binascii.Error:
        return None
