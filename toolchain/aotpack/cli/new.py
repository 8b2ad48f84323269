"""`aotpack new`: write a project that embeds a bundle."""

from __future__ import annotations

from pathlib import Path

import click

from aotpack import new_project
from aotpack.cli import console

#: What to type first in a new project.
_FIRST_STEPS = {
    "c": ("make && make test",),
    "cpp": ("cmake -S . -B build && cmake --build build", "ctest --test-dir build"),
    "rust": ("cargo test", "cargo run -- --check --zeros"),
    "python": ("python3 -m unittest discover tests",),
}


@click.command(
    epilog="""\b
Examples:
  aotpack new --lang rust my-app --bundle dist/mlp
  aotpack new --lang c    my-app
"""
)
@click.option("--lang", type=click.Choice(new_project.LANGUAGES), required=True, help="The project's language.")
@click.option(
    "--bundle",
    type=click.Path(path_type=Path),
    metavar="DIST",
    help="Link the project to this bundle.",
)
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@console.json_option
@console.common_options
def command(lang: str, bundle: Path | None, folder: Path, as_json: bool) -> None:
    """Write a small C, C++, Rust or Python project that embeds a bundle.

    The project is named after DIR. It needs no network and no package of a registry.
    """
    files = new_project.create(lang, folder, bundle)
    if as_json:
        names = [str(file) for file in files]
        console.print_json({"schema": 1, "folder": str(folder), "files": names, "next": list(_FIRST_STEPS[lang])})
        return
    console.say(f"{folder}: {len(files)} files")
    if bundle is None:
        console.say(f"link it to a bundle: ln -s /path/to/the/bundle {folder}/bundle")
    for step in (f"cd {folder}", *_FIRST_STEPS[lang]):
        console.say(f"  {step}")
