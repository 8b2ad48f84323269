"""Where the programs are that aotpack runs, and what to type for one that is missing. The doctor looks here as well."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from pathlib import Path

from aotpack.errors import BuildToolError
from aotpack_doctor.programs import INSTALL

#: What those are for that a build cannot do without.
_PURPOSES: Mapping[str, str] = {
    "cmake": "aotpack compiles its C++ parts with CMake and Ninja",
    "ninja": "aotpack compiles its C++ parts with CMake and Ninja",
    "patchelf": "a bundle's libraries cannot be given another search path",
    "strip": "a bundle's libraries cannot be made smaller",
}
#: Further folders, which Debian has on the PATH of root alone.
_OF_ROOT: Mapping[str, str] = {"chroot": "/usr/sbin:/sbin"}


def find_program(name: str) -> str:
    """The path of `cmake`, `ninja`, `patchelf` or `strip`. Raises BuildToolError where there is none."""
    found = look_for_program(name)
    if found is None:
        raise BuildToolError(
            f"{name}: not found beside {sys.executable} or on PATH", meaning=_PURPOSES[name], fix=INSTALL[name]
        )
    return str(found)


def look_for_program(name: str) -> Path | None:
    """Where a program is: in the PyPI package of its name, beside this interpreter, on PATH."""
    for folder in _folders(name):
        if os.access(folder / name, os.X_OK):
            return folder / name
    found = on_path(name) or on_path(name, _OF_ROOT.get(name, ""))
    return Path(found) if found else None


def on_path(name: str, path: str | None = None) -> str | None:
    """What a shell would start: for what users choose by their PATH alone, such as compilers and Python."""
    return shutil.which(name, path=path)


def _folders(name: str) -> Iterator[Path]:
    found = importlib.util.find_spec(name)
    if found is not None and found.submodule_search_locations:
        # The cmake of a scripts folder is Python that starts this one.
        yield Path(found.submodule_search_locations[0]) / "data" / "bin"
    yield Path(sysconfig.get_path("scripts"))
    yield Path(sys.executable).parent
