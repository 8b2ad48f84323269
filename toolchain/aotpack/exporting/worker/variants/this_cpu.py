"""What this machine's CPU has, as the kernel says it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

#: What the kernel calls by another name than compilers do (`code.isas.FEATURE_MACROS`).
_KERNEL_NAMES = {"pni": "sse3", "abm": "lzcnt"}


def lacks(features: Iterable[str], cpuinfo: str | None = None) -> list[str]:
    """Those of some features that it does not have.

    Args:
        features: as in `code.isas.FEATURE_MACROS`.
        cpuinfo: of another machine.
    """
    text = Path("/proc/cpuinfo").read_text() if cpuinfo is None else cpuinfo
    flags = re.search(r"^flags\s*:\s*(.*)$", text, re.MULTILINE)
    have = {_KERNEL_NAMES.get(flag, flag) for flag in flags[1].split()} if flags else set()
    return [feature for feature in features if feature not in have]
