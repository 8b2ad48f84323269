"""`aotpack sign`."""

from __future__ import annotations

from pathlib import Path

import click

from aotpack.cli import console
from aotpack.errors import UsageError

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command(
    epilog="""\b
Examples:
  openssl ecparam -name prime256v1 -genkey -noout -out private.pem
  openssl ec -in private.pem -pubout -out public.pem
  aotpack sign dist/mlp --key private.pem
  aotpack verify dist/mlp --key public.pem
  aotpack sign dist/mlp --sigstore                         online; keeps no key
"""
)
@click.argument("bundle", type=click.Path(path_type=Path, exists=True))
@click.option("--key", type=_FILE, metavar="PRIVATE.pem", help="Elliptic-curve key, without a password.")
@click.option("--sigstore", is_flag=True, help="By Sigstore, in the name of whoever logs in, or of this CI's job.")
@click.option("--certificate", type=_FILE, metavar="CERT.pem", help="The signer's certificate, to be named in it.")
@click.option(
    "--certificate-chain", "chain", type=_FILE, multiple=True, metavar="CA.pem", help="Between it and its issuer."
)
@console.json_option
@console.common_options
def command(
    bundle: Path, key: Path | None, sigstore: bool, certificate: Path | None, chain: tuple[Path, ...], as_json: bool
) -> None:
    """Sign a bundle in the format of OpenSSF Model Signing v1.0.

    The bundle is verified first. The signature, bundle.sig, covers every file; aotpack verify --key and the official
    model_signing tool check it. Needs pip install 'aotpack[release]'.
    """
    if (key is None) != sigstore or (sigstore and (certificate or chain)):
        raise UsageError(
            "sign by a key, or by Sigstore",
            meaning="a signature is made with --key, and perhaps the key's --certificate, or with --sigstore alone",
            fix=f"aotpack sign {bundle} --key private.pem",
        )
    from aotpack.api.releases import sign

    signature = sign(bundle, key, certificate=certificate, certificate_chain=chain, progress=console.reporter())
    if as_json:
        console.print_json({"schema": 1, "signature": str(signature)})
        return
    console.tell(f"{signature}: signed")
