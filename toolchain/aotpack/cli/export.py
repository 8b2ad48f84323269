"""`aotpack export`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from aotpack.cli import console
from aotpack.exporting.driving import CONSTANTS, CPU_ISAS, ExportRequest


@click.command(
    epilog="""\b
FUNCTION returns (module, inputs) or (module, inputs, dynamic_shapes):
  inputs          a tuple of positional inputs, or a dict of keyword inputs; they may be nested
  dynamic_shapes  as for torch.export.export

\b
Examples:
  aotpack export examples/mlp.py:model --output mlp.pt2 --verify
  aotpack export examples/mlp.py:model --output mlp.pt2 --cpu-isa avx2
  aotpack export examples/mlp.py:model --output mlp.pt2 --constants updatable
  aotpack export model.py:model --output model.pt2 --device cuda --venv .venv-cuda
  aotpack export package.module:model --output model.pt2      found as python -m finds it
  aotpack export saved_program.pt2 --output model.pt2         what torch.export.save wrote
"""
)
@click.argument("source", metavar="SOURCE")
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="The .pt2 package to write.")
@click.option(
    "--device", default="cpu", show_default=True, metavar="cpu|cuda[:N]|rocm[:N]", help="The device it will run on."
)
@click.option(
    "--constants",
    type=click.Choice(CONSTANTS),
    default=ExportRequest.constants,
    show_default=True,
    help="Weights folded and packed for speed, or as the module has them, for torch's load_constants().",
)
@click.option("--profile", type=click.Choice(("default", "slim")), hidden=True)
@click.option(
    "--cpu-isa",
    type=click.Choice(CPU_ISAS),
    default=ExportRequest.cpu_isa,
    show_default=True,
    help="CPU instructions the code may use.",
)
@click.option("--venv", type=click.Path(path_type=Path), metavar="DIR", help="The environment whose torch exports.")
@click.option("--verify", is_flag=True, help="Compare with eager PyTorch; a package that differs is not kept.")
@click.option("--allow-fixed", is_flag=True, help="Accept that sizes vary less than asked where torch cannot do it.")
@click.option("--no-sample", is_flag=True, help="Do not record the example inputs and outputs in the package.")
@console.json_option
@console.common_options
def command(
    source: str,
    output: Path,
    device: str,
    constants: str,
    profile: str | None,
    cpu_isa: str,
    venv: Path | None,
    verify: bool,
    allow_fixed: bool,
    no_sample: bool,
    as_json: bool,
) -> None:
    """Compile a PyTorch model ahead of time into a .pt2 package.

    SOURCE is FILE.py:FUNCTION, package.module:FUNCTION, or a .pt2 that torch.export.save wrote.
    """
    from aotpack.api.exports import export

    if profile is not None:
        console.warn(
            f"--profile {profile}: there are no profiles any more; what slim did is the default, and what default did "
            "is like --constants updatable"
        )
    package = export(
        source,
        output=output,
        device=device,
        constants=constants,
        cpu_isa=cpu_isa,
        verify=verify,
        sample=not no_sample,
        allow_fixed=allow_fixed,
        venv=venv,
        progress=console.reporter(),
        log=sys.stderr.buffer if console.verbosity > 0 else None,
    )
    if as_json:
        console.print_json(package.document())
        return
    for line in package.lines():
        console.say(line)
