"""Finding compilers."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from typing import Literal

from aotpack.errors import BuildToolError
from aotpack.tools.programs import on_path
from aotpack.tools.running import run_tool
from aotpack_doctor import programs

Language = Literal["c", "c++"]


@dataclass(frozen=True)
class Compiler:
    """A compiler that answers.

    Attributes:
        command: the program's path; with the launcher (ccache) and the flags that the user's variable names.
        identity: first line of `--version`, such as `g++ (Debian 12.2.0-14) 12.2.0`.
    """

    command: tuple[str, ...]
    identity: str


def find_compiler(language: Language) -> Compiler:
    """The compiler for C or C++: the user's `CC` or `CXX`, else the first of the usual names on PATH.

    Raises:
        BuildToolError: there is none, or it does not answer.
    """
    name = language.upper()
    variable, names = programs.COMPILERS[name]
    wanted = _words(variable)
    candidates = [wanted] if wanted else [[each] for each in names]
    for candidate in candidates:
        program = on_path(candidate[0])
        if program is not None:
            command = (program, *candidate[1:])
            answer = run_tool([*command, "--version"]).splitlines()
            return Compiler(command, answer[0] if answer else program)
    raise BuildToolError(
        f"{variable}={' '.join(wanted)}: not found" if wanted else f"no {name} compiler on PATH ({', '.join(names)})",
        meaning="aotpack compiles a small part of every bundle on this machine",
        fix=f"{programs.INSTALL[name]} (or set {variable} to a compiler)",
    )


def _words(variable: str) -> list[str]:
    """A command in an environment variable, split as a shell would."""
    text = os.environ.get(variable, "")
    try:
        return shlex.split(text)
    except ValueError as error:
        raise BuildToolError(
            f"{variable}={text}: {str(error).lower()}",
            meaning="the compiler that it names cannot be told",
            fix=f"correct {variable}, or unset it to use the system's compiler",
        ) from None
