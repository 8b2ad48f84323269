"""`aotpack init`: make the environment that holds a backend's torch."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from aotpack.backend import Backend
from aotpack.cli import console


@click.command(
    epilog="""\b
Examples:
  aotpack init --backend cpu
  aotpack init --backend cuda --venv ~/envs/cuda --torch 2.12.1
  aotpack init --backend cpu --dry-run
"""
)
@click.option(
    "--backend",
    type=click.Choice([backend.value for backend in Backend]),
    required=True,
    help="Whose torch to install.",
)
@click.option(
    "--venv",
    type=click.Path(path_type=Path),
    help="The environment's folder.  [default: .venv, .venv-cuda or .venv-rocm]",
)
@click.option("--torch", "version", metavar="VERSION", help="Another torch version than the recipe's.")
@click.option(
    "--python",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Interpreter of a new environment.  [default: the one that runs aotpack]",
)
@click.option("--dry-run", is_flag=True, help="Print the commands and do nothing.")
@console.common_options
def command(backend: str, venv: Path | None, version: str | None, python: Path | None, dry_run: bool) -> None:
    """Make the virtual environment that holds a backend's torch.

    Takes your pip configuration as it is: indexes, proxies, folders of wheels. An environment that already has the
    torch that the recipe names is left alone.
    """
    from aotpack.environment.making import make_environment, plan_environment, satisfied
    from aotpack.libraries.recipe import load_recipe

    chosen = Backend(backend)
    recipe = load_recipe(chosen)
    folder = venv or Path(chosen.venv_name)
    info = satisfied(recipe, folder, version=version)
    if info:
        console.say(f"{folder} already has torch {info.label}; nothing to do")
        return
    plan = plan_environment(recipe, folder.absolute(), python=python, version=version)
    if dry_run:
        for number, step in enumerate((plan.create, *plan.installs)):
            if step:
                console.tell(shlex.join(step) + ("  # when the one before finds no such torch" if number > 1 else ""))
        return
    info = make_environment(plan, console.say)
    console.say(f"{folder} has torch {info.label}")
