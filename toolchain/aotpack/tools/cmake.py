"""Driving CMake and Ninja, from the PyPI packages that aotpack depends on or from the system."""

from __future__ import annotations

import importlib.util
import os
import shlex
import shutil
import sysconfig
from collections.abc import Iterable, Mapping
from pathlib import Path

from aotpack.errors import BuildToolError
from aotpack.tools.compilers import Compiler, run_tool

#: Flags of the user's shell are part of no cache key, so they must not reach the compiler.
_SHELL_FLAGS = frozenset({"CXXFLAGS", "CPPFLAGS", "LDFLAGS"})


def build_targets(
    source: Path, build: Path, compiler: Compiler, definitions: Mapping[str, str], targets: Iterable[str]
) -> None:
    """Configure the CMake project at `source` in the folder `build`, and build `targets`.

    Raises:
        BuildToolError: CMake or Ninja is missing, or the build fails.
    """
    ninja = _program("ninja")
    command = [_program("cmake"), "-S", str(source), "-B", str(build), "-G", "Ninja"]
    command += [f"-DCMAKE_MAKE_PROGRAM={ninja}"]
    command += [f"-D{name}={value}" for name, value in definitions.items()]
    env = {name: value for name, value in os.environ.items() if name not in _SHELL_FLAGS}
    # CMake itself tells a launcher, the compiler and its flags apart.
    env["CXX"] = shlex.join(compiler.command)
    run_tool(command, env=env)
    run_tool([ninja, "-C", str(build), *targets], env=env)


def _program(name: str) -> str:
    """The PyPI package's program, else the system's."""
    folders = [Path(sysconfig.get_path("scripts"))]
    found = importlib.util.find_spec(name)
    if found is not None and found.submodule_search_locations:
        # The cmake of a scripts folder is Python that starts this one.
        folders.insert(0, Path(found.submodule_search_locations[0]) / "data" / "bin")
    for folder in folders:
        if os.access(folder / name, os.X_OK):
            return str(folder / name)
    on_path = shutil.which(name)
    if on_path is None:
        raise BuildToolError(
            f"{name} is missing",
            meaning="aotpack compiles its C++ parts with CMake and Ninja",
            fix=f"pip install {name}",
        )
    return on_path
