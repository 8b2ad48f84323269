"""Which data files of ROCm's libraries serve a set of GPUs, by the gfx names in their paths. Pure.

rocBLAS, hipBLASLt, hipSPARSELt, aotriton and MIOpen keep one set of files an architecture, named in several ways:

    TensileLibrary_gfx90a.dat                 one architecture
    Kernels.so-000-gfx90a-xnack+.hsaco        one with a setting of a feature
    amd-gfx11xx/flash/...  amd-gfx120x/...    a family: x stands for any digit
    gfx942130.HIP.fdb.txt  gfx906_60.db       MIOpen: the architecture and the number of compute units, hex or decimal
    gfx9-4-generic, gfx11-generic             LLVM's generic targets

A file that names no architecture is part of every set; without rocBLAS's `_fallback.dat` files it crashes.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from aotpack_doctor.base.gpu_code import runs_rocm

#: Major in decimal (9 or two digits from 10 on), then minor and stepping as one hex digit each; x in a family's name.
_NUMBER = r"(?P<number>1\d[0-9a-fxX]{2}|[2-9][0-9a-fxX]{2})"
_GENERIC = r"(?P<generic>\d{1,2}(?:-\d)?)-generic"
_FEATURES = r"(?P<features>(?:[-:](?:xnack|sramecc)[-+])*)"
_TOKEN = re.compile(rf"gfx(?:{_GENERIC}|{_NUMBER})(?:(?P<units>[0-9a-f]{{1,3}})(?![0-9a-f]))?{_FEATURES}")
_MENTION = re.compile(r"(?<![0-9A-Za-z])gfx(?=[0-9])")
_FEATURE = re.compile(r"[-:](xnack|sramecc)([-+])")


@dataclass(frozen=True)
class Target:
    """A GPU to keep files for: `gfx90a`, or with feature settings, `gfx90a:xnack+`. Settings not named are any."""

    number: str
    features: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        return "gfx" + self.number + "".join(f":{name}{value}" for name, value in self.features)


def parse_target(text: str) -> Target:
    """A target as written on the command line. Raises ValueError for anything that is not one whole gfx name."""
    found = re.fullmatch(rf"gfx(?P<number>1\d[0-9a-f]{{2}}|[2-9][0-9a-f]{{2}}){_FEATURES}", text)
    if not found:
        raise ValueError(f"{text!r} is not a ROCm architecture such as gfx90a or gfx1100")
    return Target(found["number"], tuple(_FEATURE.findall(found["features"])))


def keeps(path: str, targets: Collection[Target]) -> bool:
    """Whether a data file is needed for one of the targets.

    Args:
        path: relative to the data tree, `/`-separated; its folders count like its name.
        targets: what the bundle is to run on; empty keeps everything.
    """
    if not targets:
        return True
    return all(_component_serves(component, targets) for component in path.split("/"))


def _component_serves(component: str, targets: Collection[Target]) -> bool:
    mentions = [match.start() for match in _MENTION.finditer(component.replace("_", "-"))]
    if not mentions:
        return True
    tokens = [_TOKEN.match(component, start) for start in mentions]
    # A name that we cannot read is kept: too large beats broken.
    return any(token is None or any(_serves(token, target) for target in targets) for token in tokens)


def _serves(token: re.Match[str], target: Target) -> bool:
    if generic := token["generic"]:
        return runs_rocm(f"gfx{target.number}", [f"gfx{generic}-generic"]) is not False
    pattern = token["number"].lower()
    if len(pattern) != len(target.number):
        return False
    if any(ours not in ("x", digit) for ours, digit in zip(pattern, target.number, strict=True)):
        return False
    set_by_file = dict(_FEATURE.findall(token["features"]))
    return all(set_by_file.get(name, value) == value for name, value in target.features)


def mentioned(paths: Collection[str]) -> tuple[str, ...]:
    """The architectures and families that paths name, sorted: what `--arch` can choose from."""
    found = {token["number"] or f"{token['generic']}-generic" for path in paths for token in _TOKEN.finditer(path)}
    return tuple(sorted((f"gfx{name}" for name in found), key=lambda name: (len(name), name)))
