"""Driving CMake and Ninja, from the PyPI packages that aotpack depends on or from the system."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from aotpack.tools.compilers import Compiler
from aotpack.tools.programs import find_program
from aotpack.tools.running import run_tool

#: Flags of the user's shell are part of no cache key, so they must not reach the compiler.
_SHELL_FLAGS = frozenset({"CXXFLAGS", "CPPFLAGS", "LDFLAGS"})

#: Ninja's own beginning of a line, whatever the user's NINJA_STATUS is.
_STATUS = "[%f/%t] "
_DONE = re.compile(r"\[(\d+)/(\d+)\] ")

#: Is told how many files are done, and of how many.
Progress = Callable[[int, int], None]


def build_targets(
    source: Path,
    build: Path,
    compiler: Compiler,
    definitions: Mapping[str, str],
    targets: Iterable[str],
    progress: Progress = lambda _done, _total: None,
) -> None:
    """Configure the CMake project at `source` in the folder `build`, and build `targets` with all cores.

    Raises:
        BuildToolError: CMake or Ninja is missing, or the build fails.
    """
    ninja = find_program("ninja")
    command = [find_program("cmake"), "-S", str(source), "-B", str(build), "-G", "Ninja"]
    command += [f"-DCMAKE_MAKE_PROGRAM={ninja}"]
    command += [f"-D{name}={value}" for name, value in definitions.items()]
    env = {name: value for name, value in os.environ.items() if name not in _SHELL_FLAGS}
    # CMake itself tells a launcher, the compiler and its flags apart.
    env["CXX"] = shlex.join(compiler.command)
    run_tool(command, env=env)

    def line(text: str) -> None:
        status = _DONE.match(text)
        if status is not None:
            progress(int(status[1]), int(status[2]))

    run_tool([ninja, "-C", str(build), *targets], env={**env, "NINJA_STATUS": _STATUS}, line=line)
