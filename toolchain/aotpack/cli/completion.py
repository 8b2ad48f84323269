"""`aotpack completion`: print the completion script for a shell."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command(
    epilog="""\b
Examples:
  aotpack completion bash >> ~/.bashrc
  aotpack completion zsh  >> ~/.zshrc
  aotpack completion fish >  ~/.config/fish/completions/aotpack.fish
"""
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print the completion script for your shell."""
    from aotpack.cli import group

    completion = get_completion_class(shell)
    assert completion is not None  # noqa: S101  (click knows the three shells above)
    click.echo(completion(group, {}, "aotpack", "_AOTPACK_COMPLETE").source())
