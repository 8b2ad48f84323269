"""`aotpack init`: make the environment that holds a backend's torch."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from aotpack.backend import Backend
from aotpack.cli import console
from aotpack.errors import UsageError

if TYPE_CHECKING:
    from aotpack.environment.torch import TorchInfo


@click.command(
    epilog="""\b
Examples:
  aotpack init --backend cpu
  aotpack init --backend cuda --venv ~/envs/cuda --torch 2.12.1
  aotpack init --backend cpu --dry-run
  aotpack init --example                       aotpack.toml and a model to start from, and its environment
"""
)
@click.option(
    "--backend",
    type=click.Choice([backend.value for backend in Backend]),
    help="Whose torch to install; else that of aotpack.toml.",
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
@click.option("--example", is_flag=True, help="Write a project that works into this folder first.")
@click.option("--dry-run", is_flag=True, help="Print the commands and do nothing.")
@console.json_option
@console.common_options
def command(
    backend: str | None,
    venv: Path | None,
    version: str | None,
    python: Path | None,
    example: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Make the virtual environment that holds a backend's torch.

    Takes your pip configuration as it is: indexes, proxies, folders of wheels. An environment that already has the
    torch that the recipe names is left alone.
    """
    from aotpack.environment.making import make_environment, plan_environment, satisfied
    from aotpack.libraries.recipe import load_recipe

    written = _example() if example else []
    chosen, folder = _asked(backend, venv)
    recipe = load_recipe(chosen)
    info = satisfied(recipe, folder, version=version)
    if info:
        console.say(f"{folder} already has torch {info.label}; nothing to do")
        _show(folder, info, written, changed=False, as_json=as_json)
        return
    plan = plan_environment(recipe, folder.absolute(), python=python, version=version)
    if dry_run and as_json:
        console.print_json({"schema": 1, "commands": [list(step) for step in (plan.create, *plan.installs) if step]})
        return
    if dry_run:
        for number, step in enumerate((plan.create, *plan.installs)):
            if step:
                console.tell(shlex.join(step) + ("  # when the one before finds no such torch" if number > 1 else ""))
        return
    info = make_environment(plan, console.say)
    console.say(f"{folder} has torch {info.label}")
    _show(folder, info, written, changed=True, as_json=as_json)


def _example() -> list[Path]:
    from aotpack.project.example import write_example

    written = write_example(Path.cwd())
    console.say(f"wrote {', '.join(path.name for path in written)}; aotpack build makes what aotpack.toml describes")
    return written


def _asked(backend: str | None, venv: Path | None) -> tuple[Backend, Path]:
    """The backend and the environment's folder; where nothing is said, those of the project."""
    from aotpack.project.reading import find_project

    found = None if backend is not None else find_project()
    if backend is None and found is None:
        raise UsageError(
            "Missing option '--backend'. Choose from: cpu, cuda, rocm",
            meaning="there is no aotpack.toml here or above that says whose torch to install",
            fix="aotpack init --backend cpu, or aotpack init --example for a project to start from",
        )
    chosen = Backend(backend) if found is None else found.project.backend
    if venv is None and found is not None:
        venv = found.folder / (found.project.venv or chosen.venv_name)
    return chosen, venv or Path(chosen.venv_name)


def _show(folder: Path, info: TorchInfo, written: list[Path], *, changed: bool, as_json: bool) -> None:
    if as_json:
        document = {"venv": str(folder), "changed": changed, "torch": info.version, "variant": str(info.variant)}
        console.print_json({"schema": 1, **document, "written": [str(path) for path in written]})
