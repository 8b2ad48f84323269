"""`aotpack verify`: is this bundle whole, and does it run?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aotpack.cli import console
from aotpack.errors import UsageError

if TYPE_CHECKING:
    from aotpack.api.verification import Verification

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command(
    epilog="""\b
Examples:
  aotpack verify dist/mlp           every file, link and ELF header
  aotpack verify dist/mlp.aot       the same of a single file
  aotpack verify dist/mlp --run     and a real inference in an empty root
  aotpack verify dist/mlp --key public.pem          signed with that key's private half, and whole
  aotpack verify dist/mlp --digest sha256:1f2e...   the one whose digest travelled another way
"""
)
@click.argument("bundle", type=click.Path(path_type=Path, exists=True))
@click.option("--run", "do_run", is_flag=True, help="Run every model on its recorded sample in an empty root.")
@click.option("--key", type=_FILE, metavar="PUBLIC.pem", help="Ask for a signature by this key's private half.")
@click.option(
    "--certificate-chain", "chain", type=_FILE, multiple=True, metavar="CA.pem", help="Or by one that this vouches for."
)
@click.option("--sigstore", is_flag=True, help="Or by Sigstore, in the name of --identity; online.")
@click.option("--identity", metavar="WHO", help="An address, or the URL of a CI's workflow.")
@click.option("--identity-provider", "provider", metavar="URL", help="Who knows them by that name.")
@click.option("--digest", metavar="sha256:...", help="Ask for the bundle of this digest.")
@console.json_option
@console.common_options
def command(
    bundle: Path,
    do_run: bool,
    key: Path | None,
    chain: tuple[Path, ...],
    sigstore: bool,
    identity: str | None,
    provider: str | None,
    digest: str | None,
    as_json: bool,
) -> None:
    """Check a bundle, and with --run prove it by a real inference.

    The static check compares every file with its SHA-256, finds what is missing or extra, and makes sure that no
    library is looked for outside of the bundle. Nothing of the bundle is run. With --run every model is run on its
    recorded sample in a root that holds the bundle and nothing else, without network or environment.

    A signature (OpenSSF Model Signing v1.0) is looked at when --key or --certificate-chain is given, by a library of
    pip install 'aotpack[release]'. --digest holds the bundle against the digest that this command prints.
    """
    from aotpack.api.verification import examine

    found = examine(
        bundle,
        run=do_run,
        key=key,
        certificate_chain=chain,
        sigstore=_signer(identity, provider, asked=sigstore, otherwise=bool(key or chain)),
        digest=digest,
        progress=console.reporter(),
    )
    if as_json:
        console.print_json(_document(found))
        console.json_output = False  # the document is out; an error goes to stderr alone
    found.raise_for_problems()
    if as_json:
        return
    console.tell(f"{bundle}: whole ({len(found.description.files)} files, {console.human_size(found.size)})")
    console.tell(f"  digest {found.digest}")
    if found.signature is not None:
        console.tell(f"  signed: {found.signature.name}, by {_by(key, identity)}")
    for note in found.notes:
        console.tell(f"  note: {note}")
    result = found.run
    if result is not None:
        place = f"in an empty root ({result.sandbox})" if result.sandbox else "on this machine, not in an empty root"
        for name in result.models:
            console.tell(f"{bundle}: model {name} runs {place}")
        if not result.models:
            console.tell("  note: the bundle has no model to run")
        elif result.sandbox is None:
            console.tell(f"  note: {result.why_no_sandbox}")


def _signer(identity: str | None, provider: str | None, *, asked: bool, otherwise: bool) -> tuple[str, str] | None:
    """Whose signature by Sigstore is asked for. Raises UsageError for options that do not go together."""
    if not asked and not identity and not provider:
        return None
    if not (asked and identity and provider) or otherwise:
        raise UsageError(
            "a signature by Sigstore is checked by --sigstore, --identity and --identity-provider together",
            meaning="it is in somebody's name, as a provider has it; a key or certificate says nothing of that",
            fix="--sigstore --identity you@example.org --identity-provider https://accounts.google.com",
        )
    return identity, provider


def _by(key: Path | None, identity: str | None) -> str:
    if identity is not None:
        return identity
    return "this key" if key else "a certificate that is vouched for"


def _document(found: Verification) -> dict[str, Any]:
    return {
        "schema": 1,
        "whole": not found.problems,
        "digest": found.digest,
        "signature": None if found.signature is None else found.signature.name,
        "problems": [{"path": problem.path, "what": problem.what} for problem in found.problems],
        "notes": list(found.notes),
        "run": None if found.run is None else {"sandbox": found.run.sandbox, "models": found.run.models},
    }
