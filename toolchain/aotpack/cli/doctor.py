"""`aotpack doctor`: say what is wrong, what it means and what to type."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import click

from aotpack import resources
from aotpack.backend import Backend
from aotpack.cli import console
from aotpack.errors import UsageError


@click.command(
    epilog="""\b
Examples:
  aotpack doctor                                  this machine, its tools and its torch
  aotpack doctor --backend cuda --model mlp.pt2   would this model run in a CUDA bundle?
  aotpack doctor --bundle dist/mlp --report mlp.html
  aotpack doctor --explain AP603                  what does this code stand for?
  aotrun infer --input x.npy 2>&1 | aotpack doctor --explain -
"""
)
@click.option("--backend", type=click.Choice([backend.value for backend in Backend]), help="What is to be built.")
@click.option(
    "--model", "models", multiple=True, type=click.Path(path_type=Path), help="A .pt2 to look at; may be repeated."
)
@click.option("--bundle", type=click.Path(path_type=Path, exists=True), help="A bundle to look at.")
@console.venv_option("Where torch is.")
@click.option("--quick", is_flag=True, help="Do not compare the bundle's files with their hashes; not with --key.")
@click.option(
    "--key",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="PUBLIC.pem",
    help="Ask for a signature of the bundle by this key's private half.",
)
@click.option("--explain", metavar="CODE|FILE|-", help="Explain a finding's code, or an error message; - reads it.")
@click.option("--list", "show_list", is_flag=True, help="Show all findings there are.")
@click.option("--report", type=click.Path(path_type=Path, dir_okay=False), help="Write a self-contained HTML page.")
@click.option("--with-names", is_flag=True, help="Leave home folder, host and user name in the HTML page.")
@console.json_option
@console.common_options
def command(
    backend: str | None,
    models: tuple[Path, ...],
    bundle: Path | None,
    venv: Path | None,
    quick: bool,
    key: Path | None,
    explain: str | None,
    show_list: bool,
    report: Path | None,
    with_names: bool,
    as_json: bool,
) -> None:
    """Say what is wrong, what it means and what to type.

    Looks at this machine, its tools and its torch; with --model and --bundle at those, too. Every finding has a code
    that never changes, described in docs/doctor.md. Exit code 0 without errors, else that of the worst class.
    """
    from aotpack_doctor import on_target

    if show_list:
        on_target.write_list(as_json)
        return
    if explain is not None:
        page = str(resources.DOCTOR_PAGE)
        sys.exit(on_target.write_explanation(_text_of(explain), as_json, "aotpack doctor", page))
    if key is not None and bundle is None:
        raise UsageError(
            f"--key {key} without --bundle",
            meaning="the key is that of whoever signed a bundle",
            fix=f"aotpack doctor --bundle DIR --key {key}",
        )
    from aotpack.api.diagnosis import doctor

    reporter = console.reporter()
    found = doctor(backend=backend, models=models, bundle=bundle, venv=venv, quick=quick, key=key, progress=reporter)
    on_target.write_findings(found.facts, list(found.findings), as_json, "aotpack doctor")
    if report:
        from aotpack.tools.scratch import write_whole

        write_whole(report, found.html(with_names=with_names).encode("utf-8", "backslashreplace"))
        print(f"wrote {report}", file=sys.stderr)
    sys.exit(found.exit_code)


def _text_of(source: str) -> str:
    """A code as it is, else what a file or standard input holds. Raises UsageError."""
    if re.fullmatch(r"(?i)AP\d{3}", source):
        return source
    if source == "-":
        return sys.stdin.read()
    try:
        return Path(source).read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise UsageError(
            f"{source}: {error.strerror}",
            meaning="it is neither the code of a finding nor a file with a message in it",
            fix="aotpack doctor --explain - < error.log; aotpack doctor --list shows the codes",
        ) from error
