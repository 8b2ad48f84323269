"""`aotpack export`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from aotpack.cli import console
from aotpack.cli.export_options import chosen, export_options


@click.command(
    epilog="""\b
FUNCTION returns (module, inputs) or (module, inputs, dynamic_shapes):
  inputs          a tuple of positional inputs, or a dict of keyword inputs; they may be nested
  dynamic_shapes  as for torch.export.export

\b
Examples:
  aotpack export examples/mlp.py:model --output mlp.pt2 --verify
  aotpack export examples/mlp.py:model --output mlp.pt2 --cpu-isa native       for CPUs like this one alone
  aotpack export examples/mlp.py:model --output mlp.pt2 --cpu-isa avx2,avx512  for these, whatever is measured here
  aotpack export examples/mlp.py:model --output mlp.pt2 --constants updatable
  aotpack export model.py:int8 --output model.pt2 --verify --against model.py:model
  aotpack export model.py:model --output model.pt2 --device cuda --venv .venv-cuda
  aotpack export model.py:model --output model.pt2 --device cuda --arch sm_80,sm_90   for these GPUs and newer ones
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
    "--arch",
    metavar="SM_OR_GFX,...",
    help="GPUs it will run on, where torch can compile for others than this machine's: sm_80,sm_90 or gfx90a,gfx942.",
)
@export_options
@click.option("--profile", type=click.Choice(("default", "slim")), hidden=True)
@console.venv_option("The environment whose torch exports.")
@click.option("--verify", is_flag=True, help="Compare with eager PyTorch; a package that differs is not kept.")
@click.option("--against", metavar="SOURCE", help="Tell how far outputs are from this model's: the float one, say.")
@console.json_option
@console.common_options
def command(
    source: str,
    output: Path,
    device: str,
    arch: str | None,
    profile: str | None,
    venv: Path | None,
    verify: bool,
    against: str | None,
    as_json: bool,
    **options: Any,
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
        archs=() if arch is None else [word.strip() for word in arch.split(",")],
        verify=verify,
        against=against,
        **chosen(**options),
        venv=venv,
        progress=console.reporter(),
        log=sys.stderr.buffer if console.verbosity > 0 else None,
    )
    if as_json:
        console.print_json(package.document())
        return
    for line in package.lines():
        console.say(line)
