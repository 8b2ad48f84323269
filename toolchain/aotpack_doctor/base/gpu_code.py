"""Whether a GPU can run code that was made for some architectures."""

from __future__ import annotations

import re
from typing import Iterable

#: LLVM's generic targets: the GPUs of each (AMDGPUUsage, "Generic processors"), of which gfx908 and gfx90a have none.
GENERIC = {
    "gfx9-generic": ("gfx900", "gfx902", "gfx904", "gfx906", "gfx909", "gfx90c"),
    "gfx9-4-generic": ("gfx940", "gfx941", "gfx942", "gfx950"),
    "gfx10-1-generic": ("gfx1010", "gfx1011", "gfx1012", "gfx1013"),
    "gfx10-3-generic": ("gfx1030", "gfx1031", "gfx1032", "gfx1033", "gfx1034", "gfx1035", "gfx1036"),
    "gfx11-generic": (
        *("gfx1100", "gfx1101", "gfx1102", "gfx1103"),
        *("gfx1150", "gfx1151", "gfx1152", "gfx1153", "gfx1154"),
    ),
    "gfx11-7-generic": ("gfx1170", "gfx1171", "gfx1172"),
    "gfx12-generic": ("gfx1200", "gfx1201"),
    "gfx12-5-generic": ("gfx1250", "gfx1251"),
    "gfx13-generic": ("gfx1310",),
}
_KNOWN = {"gfx908", "gfx90a"}.union(*GENERIC.values())


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
    """Whether code for these targets runs on a GPU such as `gfx90a`; None where that cannot be told: of families
    (`gfx11xx`), and of a GPU that is newer than this table."""
    answers = [_runs_rocm(gpu, arch.split(":")[0]) for arch in archs]
    return True if True in answers else None if None in answers else False


def _runs_rocm(gpu: str, arch: str) -> bool | None:
    if gpu == arch or gpu in GENERIC.get(arch, ()):
        return True
    if arch.endswith("-generic"):
        return None if gpu not in _KNOWN and gpu.startswith(arch.partition("-")[0]) else False
    return None if "x" in arch[3:] else False


def _split(arch: str) -> tuple[int, int, str] | None:
    found = re.fullmatch(r"(?:sm|compute)_(\d+)(\d)([af]?)", arch)
    return (int(found[1]), int(found[2]), found[3]) if found else None
