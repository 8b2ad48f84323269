"""`aotpack verify`: is this bundle whole, and does it run?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from aotpack.cli import console
from aotpack.errors import DamagedError

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command(
    epilog="""\b
Examples:
  aotpack verify dist/mlp           every file, link and ELF header
  aotpack verify dist/mlp --run     and a real inference in an empty root
  aotpack verify dist/mlp --key public.pem          signed with that key's private half, and whole
  aotpack verify dist/mlp --digest sha256:1f2e...   the one whose digest travelled another way
"""
)
@click.argument("bundle", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--run", "do_run", is_flag=True, help="Run every model on its recorded sample in an empty root.")
@click.option("--key", type=_FILE, metavar="PUBLIC.pem", help="Ask for a signature by this key's private half.")
@click.option(
    "--certificate-chain", "chain", type=_FILE, multiple=True, metavar="CA.pem", help="Or by one that this vouches for."
)
@click.option("--digest", metavar="sha256:...", help="Ask for the bundle of this digest.")
@console.json_option
@console.common_options
def command(
    bundle: Path, do_run: bool, key: Path | None, chain: tuple[Path, ...], digest: str | None, as_json: bool
) -> None:
    """Check a bundle, and with --run prove it by a real inference.

    The static check compares every file with its SHA-256, finds what is missing or extra, and makes sure that no
    library is looked for outside of the bundle. Nothing of the bundle is run. With --run every model is run on its
    recorded sample in a root that holds the bundle and nothing else, without network or environment.

    A signature (OpenSSF Model Signing v1.0) is looked at when --key or --certificate-chain is given, by a library of
    pip install 'aotpack[release]'. --digest holds the bundle against the digest that this command prints.
    """
    from aotpack.bundle import manifest
    from aotpack.verifying import run, static
    from aotpack.verifying.digest import check_digest

    document = manifest.load_bundle(bundle)
    if digest is not None:
        check_digest(bundle, document, digest)
    total = sum(record.size for record in document.files)
    with console.byte_progress(f"checking {len(document.files)} files, {console.human_size(total)}", total) as done:
        report = static.check_static(bundle, done)
    if report.problems:
        shown = [f"{problem.path}: {problem.what}" for problem in report.problems]
        if as_json:
            console.print_json(_document(report, None, None, report.notes))
            console.json_output = False  # the document is out; the error goes to stderr alone
        raise DamagedError(
            f"{bundle}: {shown[0]}" + (f" (and {len(shown) - 1} more)" if shown[1:] else ""),
            meaning="the bundle is not what was built, so it is not safe to run",
            fix="copy it again (cp -a, rsync -a, tar), or build it again",
            detail="\n".join(shown[1:]),
        )
    signature = None
    if key is not None or chain:
        from aotpack.release import signing

        with console.step("checking the signature"):
            signature = signing.verify(bundle, key=key, chain=chain)
    notes = [*report.notes, *_unlicensed(bundle)]
    result = None
    if do_run:
        with console.step("running every model"):
            result = run.check_run(bundle, report.bundle)
    if as_json:
        console.print_json(_document(report, result, signature, notes))
        return
    click.echo(f"{bundle}: whole ({len(document.files)} files, {console.human_size(total)})")
    click.echo(f"  digest sha256:{document.digest}")
    if signature is not None:
        click.echo(f"  signed: {signature.name}, by {'this key' if key else 'a certificate that is vouched for'}")
    for note in notes:
        click.echo(f"  note: {note}")
    if result is not None:
        place = f"in an empty root ({result.sandbox})" if result.sandbox else "on this machine, not in an empty root"
        for name in result.models:
            click.echo(f"{bundle}: model {name} runs {place}")
        if not result.models:
            click.echo("  note: the bundle has no model to run")
        elif result.sandbox is None:
            click.echo(f"  note: {result.why_no_sandbox}")


def _unlicensed(bundle: Path) -> list[str]:
    """What of the bill of materials a lawyer would ask about."""
    from aotpack_doctor.reading.materials import unlicensed

    names = unlicensed(str(bundle))
    return [f"nothing says under which licence these are: {', '.join(names)}"] if names else []


def _document(report: Any, result: Any, signature: Path | None, notes: Sequence[str]) -> dict[str, Any]:
    return {
        "schema": 1,
        "whole": not report.problems,
        "digest": f"sha256:{report.bundle.digest}",
        "signature": None if signature is None else signature.name,
        "problems": [{"path": problem.path, "what": problem.what} for problem in report.problems],
        "notes": list(notes),
        "run": None if result is None else {"sandbox": result.sandbox, "models": result.models},
    }
