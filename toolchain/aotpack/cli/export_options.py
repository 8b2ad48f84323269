"""The options of an export, for both commands that make one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from aotpack.exporting.driving import CONSTANTS, ExportRequest

_Command = TypeVar("_Command", bound=Callable[..., Any])


def export_options(command: _Command) -> _Command:
    """`--constants`, `--cpu-isa`, `--allow-fixed`, `--no-sample` and `--option`, as arguments of the command."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def chosen(
    *, constants: str, cpu_isa: str, allow_fixed: bool, no_sample: bool, inductor: tuple[str, ...]
) -> dict[str, Any]:
    """The same as keyword arguments of `aotpack.export`. Raises UsageError."""
    from aotpack.exporting.options import parse_options

    return {
        "constants": constants,
        "cpu_isa": cpu_isa,
        "allow_fixed": allow_fixed,
        "sample": not no_sample,
        "options": parse_options(inductor),
    }


_OPTIONS = (
    click.option(
        "--constants",
        type=click.Choice(CONSTANTS),
        default=ExportRequest.constants,
        show_default=True,
        help="Weights folded and packed for speed, or as the module has them, for torch's load_constants().",
    ),
    click.option(
        "--cpu-isa",
        default=ExportRequest.cpu_isa,
        show_default=True,
        metavar="portable|native|ISA,...",
        help="CPUs it will run on: all, this one, or baseline, avx2, avx512, amx.",
    ),
    click.option(
        "--allow-fixed", is_flag=True, help="Accept that sizes vary less than asked where torch cannot do it."
    ),
    click.option("--no-sample", is_flag=True, help="Do not record the example inputs and outputs in the package."),
    click.option(
        "--option",
        "inductor",
        multiple=True,
        metavar="KEY=VALUE",
        help="An option of Inductor's that keeps a bundle's promises; others are refused with the reason.",
    ),
)
