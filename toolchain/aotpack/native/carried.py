"""Compiled parts that a wheel of aotpack carries, so that its user need not compile them: `make wheel` puts them there.

A part is found by what it follows from: the sources, and the versions of what they are compiled against. In a checkout,
and where sources or versions are others than the wheel's, nothing is found and everything is compiled as ever.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable
from pathlib import Path

from aotpack import resources
from aotpack.tools.cache import content_key


def carried_key(parts: Iterable[str | bytes]) -> str:
    """The name of a part for this kind of machine. `parts`: all that it follows from but the compiler."""
    return content_key([platform.machine(), *parts])


def find_carried(kind: str, key: str) -> Path | None:
    """The folder of a part; None when this aotpack does not carry it."""
    folder = resources.COMPILED / kind / key
    return folder if folder.is_dir() else None
