"""`aotpack sign`."""

from __future__ import annotations

from pathlib import Path

import click

from aotpack.cli import console

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command(
    epilog="""\b
Examples:
  openssl ecparam -name prime256v1 -genkey -noout -out private.pem
  openssl ec -in private.pem -pubout -out public.pem
  aotpack sign dist/mlp --key private.pem
  aotpack verify dist/mlp --key public.pem
"""
)
@click.argument("bundle", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--key", type=_FILE, required=True, metavar="PRIVATE.pem", help="Elliptic-curve key, without a password.")
@click.option("--certificate", type=_FILE, metavar="CERT.pem", help="The signer's certificate, to be named in it.")
@click.option(
    "--certificate-chain", "chain", type=_FILE, multiple=True, metavar="CA.pem", help="Between it and its issuer."
)
@console.json_option
@console.common_options
def command(bundle: Path, key: Path, certificate: Path | None, chain: tuple[Path, ...], as_json: bool) -> None:
    """Sign a bundle in the format of OpenSSF Model Signing v1.0.

    The bundle is verified first. The signature, bundle.sig, covers every file; aotpack verify --key and the official
    model_signing tool check it. Needs pip install 'aotpack[release]'.
    """
    from aotpack.api.releases import sign

    signature = sign(bundle, key, certificate=certificate, certificate_chain=chain, progress=console.reporter())
    if as_json:
        console.print_json({"schema": 1, "signature": str(signature)})
        return
    console.tell(f"{signature}: signed")
