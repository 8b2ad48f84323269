"""The command line. One thin module a command: parse, call, print.

A command's module is imported when it runs, so `aotpack --help` stays fast.
"""

from __future__ import annotations

import difflib
import errno
import importlib
import os
import signal
import sys
from collections.abc import Sequence
from typing import NoReturn

import click

from aotpack import __version__
from aotpack.errors import AotpackError, UsageError

#: Command name -> the line that `aotpack --help` shows. The module `aotpack.cli.<name>` holds `command`.
COMMANDS: dict[str, str] = {
    "init": "Make the virtual environment that holds a backend's torch.",
    "export": "Compile a PyTorch model ahead of time into a .pt2 package.",
    "build": "Build a bundle: a folder that runs the model.",
    "pack": "Pack a bundle into the form that it travels in, once it is verified.",
    "sign": "Sign a bundle in the format of OpenSSF Model Signing v1.0.",
    "verify": "Check a bundle, and with --run prove it by a real inference.",
    "inspect": "Show what a .pt2, a bundle, an ELF file or a venv is.",
    "diff": "Say what changed from one bundle to another.",
    "doctor": "Say what is wrong, what it means and what to type.",
    "new": "Write a small C, C++, Rust or Python project that embeds a bundle.",
    "cache": "Show or delete what is kept between builds.",
    "completion": "Print the completion script for your shell.",
}


#: What people look for here that a bundle does itself: word -> its command.
_IN_A_BUNDLE = dict.fromkeys(("run", "infer", "predict", "serve"), "infer --input x.npy") | {
    "check": "check",
    "info": "info",
    "bench": "bench",
    "benchmark": "bench",
}


class LazyGroup(click.Group):
    """Knows its commands by name and imports one when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:
        if cmd_name in _IN_A_BUNDLE:
            raise UsageError(
                f"there is no command {cmd_name!r}",
                meaning="a bundle runs its models itself, here and wherever it is copied to",
                fix=f"BUNDLE/bin/aotrun {_IN_A_BUNDLE[cmd_name]}",
            )
        if cmd_name not in COMMANDS:
            close = difflib.get_close_matches(cmd_name, COMMANDS, n=1)
            hint = f", did you mean {close[0]!r}?" if close else ""
            raise click.UsageError(f"there is no command {cmd_name!r}{hint}", ctx)
        command = importlib.import_module(f"aotpack.cli.{cmd_name}").command
        assert isinstance(command, click.Command)  # noqa: S101
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="""\b
Examples:
  aotpack init   --backend cpu
  aotpack export examples/mlp.py:model --output mlp.pt2 --verify
  aotpack build  mlp.pt2 --output dist/mlp --portable
  aotpack verify dist/mlp --run
""",
)
@click.version_option(__version__, prog_name="aotpack")
def group() -> None:
    """Pack an AOTInductor model with exactly what it needs into a folder that runs on a bare Linux machine."""


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line and leave the process with an exit code of the contract."""
    from aotpack.cli import console

    console.open_streams()
    _end_in_order()
    arguments = sys.argv[1:] if argv is None else list(argv)
    try:
        try:
            group.main(args=arguments, prog_name="aotpack", standalone_mode=False)
        finally:
            sys.stdout.flush()
    except click.exceptions.Exit as stop:
        _leave(stop.exit_code)
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.format_message(), file=sys.stderr)
        _leave(2)
    except click.ClickException as error:
        console.json_output |= "--json" in arguments  # the command line may not have been read to its end
        console.show_error(console.explain_usage(error))
        _leave(2)
    except (click.Abort, KeyboardInterrupt):
        print("aotpack: interrupted; what was there before is unchanged", file=sys.stderr)
        _leave(130)
    except AotpackError as error:
        console.show_error(error)
        _leave(error.exit_code)
    except BrokenPipeError:
        _leave(1)
    except OSError as error:
        console.show_error(console.explain_os_error(error))
        _leave(1)
    except MemoryError:
        console.show_error(console.explain_os_error(OSError(errno.ENOMEM, "")))
        _leave(1)
    except Exception as error:  # noqa: BLE001  (the last line of defence: no traceback reaches a user unasked)
        console.show_error(console.explain_defect(error))
        _leave(1)
    sys.exit(0)


def _end_in_order() -> None:
    """However this process is ended from outside, what was begun is cleaned up as after Ctrl-C. What is ignored
    already (nohup) stays so."""
    for ending in (signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM):
        if signal.getsignal(ending) is signal.SIG_DFL:
            signal.signal(ending, lambda number, _frame: sys.exit(128 + number))


def _leave(code: int) -> NoReturn:
    """End the process. Python itself would try once more to write what stdout did not take, and end with 120."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)
