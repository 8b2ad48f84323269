"""Whether a GPU can run code that was made for some architectures."""

from __future__ import annotations

import re
from typing import Iterable


def runs_cuda(gpu: str, archs: Iterable[str]) -> str | None:
    """How a GPU such as `sm_86` runs code for these: `native`, `ptx` (compiled at first use) or None (not at all).

    Machine code (`sm_80`) runs on GPUs of its own major version with the same or a higher minor one; PTX (`compute_80`)
    on every later GPU; code with an `a` only on exactly its own, with an `f` on its own major version.
    """
    mine = _split(gpu)
    if mine is None:
        return None
    best = None
    for arch in archs:
        theirs = _split(arch)
        if theirs is None:
            continue
        exact = theirs[:2] == mine[:2]
        within_major = theirs[0] == mine[0] and theirs[1] <= mine[1]
        if arch.startswith("compute_"):
            if exact or (not theirs[2] and theirs[:2] <= mine[:2]) or (theirs[2] == "f" and within_major):
                best = best or "ptx"
        elif exact or (theirs[2] != "a" and within_major):
            best = "native"
    return best


def runs_rocm(gpu: str, archs: Iterable[str]) -> bool | None:
    """Whether code for these targets runs on a GPU such as `gfx90a`; None when generic targets leave it open."""
    known = [arch.split(":")[0] for arch in archs]
    if gpu in known:
        return True
    return None if any("generic" in arch or "x" in arch[3:] for arch in known) else False


def _split(arch: str) -> tuple[int, int, str] | None:
    found = re.fullmatch(r"(?:sm|compute)_(\d+)(\d)([af]?)", arch)
    return (int(found[1]), int(found[2]), found[3]) if found else None
