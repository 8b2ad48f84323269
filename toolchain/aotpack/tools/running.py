"""Running other programs: none asks at the terminal, all speak English, and each ends with whatever it started."""

from __future__ import annotations

import contextlib
import errno
import os
import shlex
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from aotpack.errors import BuildToolError

_DETAIL_LINES = 60
#: How long a program that is to end may take to clean up, in seconds.
_PATIENCE = 2.0


class StartError(OSError):
    """A program that the system cannot start."""


@dataclass(frozen=True)
class Ended:
    """How a program ended.

    Attributes:
        status: its exit code; negative, the signal that ended it.
        output: what it printed; in `run_lines` together with its errors.
    """

    status: int
    output: str
    errors: str = ""


def run(
    command: Sequence[str | Path],
    *,
    cwd: str | Path | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float | None = None,
) -> Ended:
    """Run a program to its end, whatever its exit code.

    Raises:
        StartError: it cannot be started.
        TimeoutError: it took longer than `timeout` seconds.
    """
    with session(command, stderr=subprocess.PIPE, cwd=cwd, env=in_english(env)) as process:
        try:
            output, errors = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            raise TimeoutError(errno.ETIMEDOUT, f"no answer in {timeout:g} seconds", str(command[0])) from None
    return Ended(process.returncode, output, errors)


def run_lines(
    command: Sequence[str | Path],
    line: Callable[[str], None],
    *,
    cwd: str | Path | None = None,
    env: Mapping[str, str] | None = None,
) -> Ended:
    """Run a program to its end; `line` is told each line, of errors too, when it is printed.

    Raises:
        StartError: it cannot be started.
    """
    said = []
    with session(command, stderr=subprocess.STDOUT, cwd=cwd, env=in_english(env)) as process:
        assert process.stdout is not None  # noqa: S101  (it is a pipe)
        for text in process.stdout:
            said.append(text)
            line(text.rstrip())
        process.wait()
    return Ended(process.returncode, "".join(said))


def run_tool(
    command: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    writes: Path | None = None,
    line: Callable[[str], None] = lambda _text: None,
) -> str:
    """Run a build tool that must succeed; returns what it printed.

    Args:
        writes: the file that it makes or changes, for the message of a full disk.
        line: is told each line when it is printed.

    Raises:
        BuildToolError: it cannot be started or fails; `detail` holds the command and the end of its output.
        OSError: ENOSPC, the disk is full.
    """
    name = Path(command[0]).name
    try:
        ended = run_lines(command, line, cwd=cwd, env=env)
    except StartError as error:
        raise BuildToolError(
            f"{command[0]} cannot be started: {error.strerror}",
            meaning="a build tool is broken or for another machine",
            fix=f"install {name} again",
        ) from None
    if ended.status == 0:
        return ended.output
    if os.strerror(errno.ENOSPC) in ended.output:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(writes or cwd or Path.cwd()))
    end = f"signal {-ended.status}" if ended.status < 0 else f"exit code {ended.status}"
    lines = ended.output.splitlines()
    omitted = [f"... {len(lines) - _DETAIL_LINES} lines before"] if len(lines) > _DETAIL_LINES else []
    shown = [*omitted, *lines[-_DETAIL_LINES:]]
    raise BuildToolError(
        f"{name} failed with {end}",
        meaning="its output below says why",
        fix="correct that and run again, or run aotpack doctor",
        detail="\n".join([shlex.join(map(str, command)), *(f"    {text}" for text in shown)]),
    )


@contextlib.contextmanager
def session(
    command: Sequence[str | Path],
    *,
    stderr: int | IO[Any],
    with_input: bool = False,
    cwd: str | Path | None = None,
    env: Mapping[str, str] | None = None,
    patience: float = _PATIENCE,
) -> Iterator[subprocess.Popen[str]]:
    """A process in a session of its own, so that neither it nor what it starts can ask at the terminal.

    Where the block ends before it was waited for, all of that is interrupted, and killed after `patience` seconds.
    Its output is a pipe; so is its input `with_input`, else there is none.

    Raises:
        StartError: it cannot be started.
    """
    try:
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env=env,
            stdin=subprocess.PIPE if with_input else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:
        raise StartError(error.errno, error.strerror, str(command[0])) from None
    with process:
        try:
            yield process
        finally:
            if process.returncode is None:  # not waited for: the number is still its own
                _end(process.pid, patience)
            if process.stdin is not None:
                with contextlib.suppress(BrokenPipeError):  # of what it no longer read
                    process.stdin.close()


def _end(group: int, patience: float) -> None:
    """End all processes of a group, whose leader stays to be waited for."""
    try:
        # As by Ctrl-C at the terminal, on which compilers, pip and shells remove what they have begun.
        if patience:
            os.killpg(group, signal.SIGINT)
        until = time.monotonic() + patience
        while time.monotonic() < until and not os.waitid(os.P_PID, group, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            time.sleep(0.01)
    finally:
        os.killpg(group, signal.SIGKILL)


def in_english(env: Mapping[str, str] | None = None) -> dict[str, str]:
    """An environment (this process's own) whose messages can be searched, and read in a bug report.

    Its characters stay the user's: an interpreter decodes the names of files by them.
    """
    given = os.environ if env is None else env
    characters = given.get("LC_ALL") or given.get("LC_CTYPE") or given.get("LANG")
    # Python's own gettext reads LANGUAGE even in the C locale.
    kept = {name: value for name, value in given.items() if name != "LANGUAGE" and not name.startswith("LC_")}
    return {**kept, "LANG": "C", **({"LC_CTYPE": characters} if characters else {})}
