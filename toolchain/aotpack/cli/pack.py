"""`aotpack pack`."""

from __future__ import annotations

from pathlib import Path

import click

from aotpack.cli import console

#: As `aotpack.release.packing.FORMATS`, whose import can wait (a test holds them together).
FORMATS = ("tar.zst", "tar", "zip", "oci", "file", "wheel")


@click.command(
    epilog="""\b
Examples:
  aotpack pack dist/mlp                                     dist/mlp.tar.zst
  aotpack pack dist/mlp --format oci --tag mlp:1.0          an image layout in dist/mlp-image
  aotpack pack dist/mlp --format oci --push registry.example.org/mlp:1.0
  aotpack pack dist/mlp --format file                       dist/mlp.aot, which runs as it is: ./mlp.aot infer ...
  aotpack pack dist/mlp --format wheel --tag mlp:1.0        a wheel: import mlp; mlp(x)
"""
)
@click.argument("bundle", type=click.Path(path_type=Path, exists=True))
@click.option(
    "--format", "form", type=click.Choice(FORMATS), default=FORMATS[0], show_default=True, help="What to make."
)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Where; beside the bundle by default.")
@click.option("--tag", metavar="NAME:TAG", help="Name and version of the image or wheel.")
@click.option("--push", metavar="REGISTRY/NAME:TAG", help="Push the image there, with the login of docker or podman.")
@console.json_option
@console.common_options
def command(bundle: Path, form: str, output: Path | None, tag: str | None, push: str | None, as_json: bool) -> None:
    """Pack a bundle into the form that it travels in, once it is verified.

    The same bundle gives the same bytes. All dates are 1980-01-01, or that of SOURCE_DATE_EPOCH. Needs
    pip install 'aotpack[release]'.
    """
    from aotpack.api.releases import pack

    made = pack(bundle, form, output, tag=tag, push=push, progress=console.reporter())
    if as_json:
        document = {"output": str(made.output), "size": made.size, "digest": made.digest, "pushed": made.pushed}
        console.print_json({"schema": 1, **document})
        return
    console.tell(f"{made.output}: {console.human_size(made.size)}, {made.digest}")
    if made.pushed:
        console.tell(f"pushed: {made.pushed}")
