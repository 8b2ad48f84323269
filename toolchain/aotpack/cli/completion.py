"""`aotpack completion`: print the completion script for a shell."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from aotpack.cli import console


@click.command(
    epilog="""\b
Examples:
  aotpack completion bash >> ~/.bashrc
  aotpack completion zsh  >> ~/.zshrc
  aotpack completion fish >  ~/.config/fish/completions/aotpack.fish
"""
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@console.json_option
@console.common_options
def command(shell: str, as_json: bool) -> None:
    """Print the completion script for your shell."""
    from aotpack.cli import group

    completion = get_completion_class(shell)
    assert completion is not None  # noqa: S101  (click knows the three shells above)
    script = completion(group, {}, "aotpack", "_AOTPACK_COMPLETE").source()
    if as_json:
        console.print_json({"schema": 1, "shell": shell, "script": script})
        return
    click.echo(script)
