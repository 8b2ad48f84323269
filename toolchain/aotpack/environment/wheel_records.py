"""What wheels said about their files: the hashes in their `RECORD`s."""

from __future__ import annotations

import base64
import binascii
import csv
from collections.abc import Iterable, Iterator
from pathlib import Path


def wheel_hashes(site_packages: Path, files: Iterable[Path]) -> dict[Path, str]:
    """SHA-256 in hex of those files that a wheel recorded, by path. Reads every `RECORD` of the environment once."""
    wanted = {file.relative_to(site_packages).as_posix(): file for file in files if file.is_relative_to(site_packages)}
    found: dict[Path, str] = {}
    for record in sorted(site_packages.glob("*.dist-info/RECORD")):
        text = record.read_text(encoding="utf-8", errors="replace")
        found.update({wanted[name]: digest for name, digest in parse_record(text) if name in wanted})
    return found


def parse_record(text: str) -> Iterator[tuple[str, str]]:
    """(path relative to site-packages, SHA-256 in hex) of each line that has one."""
    for row in csv.reader(text.splitlines()):
        if len(row) < 2 or not row[1].startswith("sha256="):
            continue
        encoded = row[1].removeprefix("sha256=")
        try:
            digest = base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True)
        except binascii.Error:
            continue
        yield row[0], digest.hex()
