"""What a person sees: rich on a terminal, plain lines elsewhere, all on stderr; results go to stdout."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, TypeVar

import click

from aotpack.errors import AotpackError, UsageError
from aotpack.progress import terminal
from aotpack.progress.reporter import Reporter
from aotpack_doctor.base.printable import printable
from aotpack_doctor.base.regular import SpecialFileError

#: -1 quiet, 0 normal, 1 verbose. Set by `common_options`.
verbosity = 0
#: Whether stdout carries one JSON document and nothing else.
json_output = False

_Command = TypeVar("_Command", bound=Callable[..., Any])


def common_options(command: _Command) -> _Command:
    """The options every command has: `-v`, `-q`. Use with `json_option` where there is a document to print."""

    def remember(ctx: click.Context, param: click.Parameter, value: int | bool) -> None:
        global verbosity  # noqa: PLW0603
        if value:
            verbosity = -1 if param.name == "quiet" else int(value)

    quiet = click.option("-q", "--quiet", is_flag=True, expose_value=False, callback=remember, help="Say less.")
    verbose = click.option(
        "-v", "--verbose", count=True, expose_value=False, callback=remember, help="Say more; show tracebacks."
    )
    return verbose(quiet(command))


def json_option(command: _Command) -> _Command:
    """`--json`: one document with a `schema` version on stdout, all else on stderr."""

    def remember(ctx: click.Context, param: click.Parameter, value: bool) -> bool:
        global json_output  # noqa: PLW0603
        json_output = value or bool(ctx.parent and ctx.parent.params.get("as_json"))  # aotpack cache --json list
        return json_output

    return click.option("--json", "as_json", is_flag=True, callback=remember, help="Print one JSON document.")(command)


def venv_option(text: str) -> Callable[[_Command], _Command]:
    """`--venv`: a folder; where it is not given, the one that the nearest project file names."""

    def remember(ctx: click.Context, param: click.Parameter, value: Path | None) -> Path | None:
        if value is not None or ctx.resilient_parsing:
            return value
        from aotpack.project.reading import find_project, named_environment

        return named_environment(find_project())

    return click.option("--venv", type=click.Path(path_type=Path), metavar="DIR", callback=remember, help=text)


def print_json(document: dict[str, Any]) -> None:
    """Print the command's one document."""
    print(json.dumps(document, indent=2))


def open_streams() -> None:
    """Give a process that was started with closed standard streams some that lead nowhere, and write file names that
    are no text with escapes."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode, encoding="utf-8"))
        elif mode == "w" and isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def tell(text: str) -> None:
    """A line of a command's answer, on stdout. It may name what is in files of others: no byte of that reaches the
    terminal as more than text."""
    click.echo(printable(text))


def say(text: str) -> None:
    """A line of progress."""
    if verbosity >= 0:
        terminal.say(text)


def detail(text: str) -> None:
    """A line for `-v`."""
    if verbosity > 0:
        terminal.say(text)


def warn(text: str) -> None:
    """A line that is never silenced."""
    terminal.warn(text)


def step(text: str) -> AbstractContextManager[None]:
    """Name a phase; on a terminal a spinner turns while it lasts and the time stays when it was over a second."""
    return reporter().step(text)


def byte_progress(text: str, total: int) -> AbstractContextManager[Callable[[int], None]]:
    """A bar of bytes on a terminal, a line elsewhere. Yields a function to call with the bytes just done."""
    return reporter().bytes(text, total)


def file_progress(text: str) -> AbstractContextManager[Callable[[int, int], None]]:
    """`TEXT: 12 of 87 files`, in place on a terminal, as lines from time to time elsewhere. Yields a function to call
    with the files done and all of them; it may never be called."""
    return reporter().files(text)


def reporter() -> Reporter:
    """This console as a reporter."""
    return terminal.reporter(quiet=verbosity < 0)


def table(title: str, columns: list[str], rows: list[list[str]]) -> None:
    """A small table on stdout: drawn on a terminal, aligned text elsewhere. Columns after the first align right."""
    title, rows = printable(title), [[printable(cell) for cell in row] for row in rows]
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.table import Table

        drawn = Table(title=title or None, title_justify="left")
        for index, column in enumerate(columns):
            drawn.add_column(column, justify="left" if index == 0 else "right")
        for row in rows:
            drawn.add_row(*(terminal.escape(cell) for cell in row))
        Console(highlight=False).print(drawn)
        return
    if title:
        print(title)
    widths = [max(len(row[index]) for row in [columns, *rows]) for index in range(len(columns))]
    for row in [columns, *rows]:
        cells = [cell.ljust(widths[0]) if index == 0 else cell.rjust(widths[index]) for index, cell in enumerate(row)]
        print("  " + "  ".join(cells).rstrip())


def human_size(size: float) -> str:
    """Bytes in decimal units, as disks are sold: `345.2 MB`."""
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.2f} GB"


def show_error(error: AotpackError) -> None:
    """Three lines, the tool's own output indented below them, and a traceback only with `-v`."""
    if json_output:
        document = {
            "schema": 1,
            "error": {
                "exit_code": error.exit_code,
                "what": error.what,
                "meaning": error.meaning,
                "fix": error.fix,
                "detail": error.detail,
            },
        }
        with contextlib.suppress(OSError):  # stdout itself may be what failed; stderr still says it
            print_json(document)
    if terminal.is_terminal():
        console = terminal.stderr()
        console.print(f"[bold red]error:[/] {terminal.escape(printable(error.what))}")
    else:
        print(f"error: {printable(error.what)}", file=sys.stderr)
    print(f"  {printable(error.meaning)}", file=sys.stderr)
    print(f"  fix: {printable(error.fix)}", file=sys.stderr)
    for line in error.detail.splitlines():
        print(f"    | {printable(line.expandtabs())}", file=sys.stderr)
    if verbosity > 0:
        import traceback

        traceback.print_exception(error)


def explain_usage(error: click.ClickException) -> AotpackError:
    """A command line that click refuses, in three lines."""
    context = error.ctx if isinstance(error, click.UsageError) else None
    program = context.command_path if context else "aotpack"
    return UsageError(
        " ".join(error.format_message().split()).rstrip("."),  # choices stand on lines of their own
        meaning="the command line cannot be understood as it is, so nothing was done",
        fix=f"{program} --help shows the options and examples",
    )


def explain_os_error(error: OSError) -> AotpackError:
    """An error of the operating system in three lines."""
    place = f"{error.filename}: " if error.filename else ""
    reason = os.strerror(error.errno).lower() if error.errno else str(error)
    meanings = {
        errno.ENOSPC: ("the disk is full", "free some space (df -h), or build to another disk with --output"),
        errno.EDQUOT: ("your disk quota is used up", "free some space, or build to another disk with --output"),
        errno.EACCES: ("this user may not do that there", "check the permissions, or choose another folder"),
        errno.EROFS: ("that file system is read-only", "choose a folder on a writable file system"),
        errno.EPERM: ("this user may not do that there", "check the permissions, or choose another folder"),
        errno.ENOMEM: ("this process may have no more memory", "see ulimit -a and free -m, and raise the limit"),
        errno.EMFILE: ("this process may have no more open files", "see ulimit -n, and raise the limit"),
        errno.ENFILE: ("the system has no more open files to give", "close what is not needed"),
        errno.ENOENT: ("that path does not exist", "check the spelling of the path"),
    }
    meaning, fix = meanings.get(
        error.errno or 0, ("the operating system refused", "run again with -v for the traceback")
    )
    if isinstance(error, SpecialFileError):
        reason, meaning, fix = str(error.strerror), "it is neither read nor replaced", "name another path"
    wrapped = AotpackError(
        f"{place}{reason}", meaning=f"{meaning}; nothing that was there before has been changed", fix=fix
    )
    wrapped.__cause__ = error
    return wrapped


def explain_defect(error: Exception) -> AotpackError:
    """An error nobody foresaw."""
    wrapped = AotpackError(
        f"{type(error).__name__}: {error}",
        meaning="this is a defect of aotpack itself, not of your input",
        fix="run again with -v and report the traceback",
    )
    wrapped.__cause__ = error
    return wrapped
