"""The one date that an archive bears: SOURCE_DATE_EPOCH, or the first that every format can say."""

from __future__ import annotations

import os
from datetime import datetime, timezone

from aotpack.errors import UsageError

#: 1980-01-01T00:00:00Z in seconds: zip knows no earlier date.
FIRST = 315532800
#: 2107-12-31T23:59:58Z: zip knows no later one.
LAST = 4354819198
_DIGITS = len(str(LAST))


def release_date() -> datetime:
    """The date of everything in a release, in UTC.

    Raises:
        UsageError: SOURCE_DATE_EPOCH is no number of seconds, or none that every format can say.
    """
    text = os.environ.get("SOURCE_DATE_EPOCH", "").strip()
    if not text:
        return datetime.fromtimestamp(FIRST, timezone.utc)
    if not (text.isascii() and text.isdecimal() and len(text) <= _DIGITS) or not FIRST <= int(text) <= LAST:
        raise UsageError(
            f"SOURCE_DATE_EPOCH={text!r}: not a number of seconds from {FIRST} (1980) to {LAST} (2107)",
            meaning="the date of all files in a release is taken from it",
            fix="export SOURCE_DATE_EPOCH=$(git log -1 --format=%ct), or unset it",
        )
    return datetime.fromtimestamp(int(text), timezone.utc)
