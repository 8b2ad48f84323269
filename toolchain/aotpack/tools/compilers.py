"""Finding compilers and running build tools, with errors that show what was run and what it said."""

from __future__ import annotations

import errno
import os
import shlex
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from aotpack.errors import BuildToolError

Language = Literal["c", "c++"]

#: The variable that users set, the names to look for otherwise, and what to install when there is none.
_CHOICES: Mapping[Language, tuple[str, tuple[str, ...], str]] = {
    "c": ("CC", ("cc", "gcc", "clang"), "gcc"),
    "c++": ("CXX", ("c++", "g++", "clang++"), "g++"),
}
_DETAIL_LINES = 60


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
    variable, names, package = _CHOICES[language]
    wanted = _words(variable)
    candidates = [wanted] if wanted else [[name] for name in names]
    for candidate in candidates:
        program = shutil.which(candidate[0])
        if program is not None:
            command = (program, *candidate[1:])
            answer = run_tool([*command, "--version"]).splitlines()
            return Compiler(command, answer[0] if answer else program)
    raise BuildToolError(
        f"{variable}={' '.join(wanted)}: not found"
        if wanted
        else f"no {language.upper()} compiler on PATH ({', '.join(names)})",
        meaning="aotpack compiles a small part of every bundle on this machine",
        fix=f"apt install {package} (or set {variable} to a compiler)",
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


def run_tool(
    command: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    writes: Path | None = None,
    line: Callable[[str], None] | None = None,
) -> str:
    """Run a build tool to its end; returns what it printed.

    Args:
        writes: the file that it makes or changes, for the message of a full disk.
        line: is told each line when it is printed.

    Raises:
        BuildToolError: it cannot be started or fails; `detail` holds the command and the end of its output.
        OSError: ENOSPC, the disk is full.
    """
    try:
        # In English, whatever the user's language: the output may end up in a bug report.
        tool = subprocess.Popen(
            command,
            cwd=cwd,
            env={**(os.environ if env is None else env), "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
        )
    except OSError as error:
        raise BuildToolError(
            f"{command[0]} cannot be started: {error.strerror}",
            meaning="a build tool is broken or for another machine",
            fix=f"install {Path(command[0]).name} again",
        ) from None
    with tool:
        said = _read(tool, line)
    if tool.returncode != 0:
        if os.strerror(errno.ENOSPC) in said:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(writes or cwd or Path.cwd()))
        end = f"signal {-tool.returncode}" if tool.returncode < 0 else f"exit code {tool.returncode}"
        lines = said.splitlines()
        omitted = [f"... {len(lines) - _DETAIL_LINES} lines before"] if len(lines) > _DETAIL_LINES else []
        raise BuildToolError(
            f"{Path(command[0]).name} failed with {end}",
            meaning="its output below says why",
            fix="correct that and run again, or run aotpack doctor",
            detail="\n".join([shlex.join(command), *("    " + line for line in [*omitted, *lines[-_DETAIL_LINES:]])]),
        )
    return said


def _read(tool: subprocess.Popen[str], line: Callable[[str], None] | None) -> str:
    """All that it prints until it ends, which it does early when this is interrupted."""
    assert tool.stdout is not None  # noqa: S101  (it is a pipe)
    lines = []
    try:
        for text in tool.stdout:
            lines.append(text)
            if line is not None:
                line(text)
    except BaseException:
        tool.kill()
        raise
    tool.wait()
    return "".join(lines)
