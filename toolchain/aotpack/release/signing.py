"""OpenSSF Model Signing v1.0 by the `model-signing` library: nothing of cryptography is ours.

The signature covers every file of the bundle with its SHA-256, as the official tool does: each verifies what the
other signs. It lies beside `bundle.json`, and is the one file that a sealed bundle may gain.
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
import re
import tempfile
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from aotpack.bundle.signatures import NAME, signatures
from aotpack.errors import AotpackError, DamagedError, UsageError
from aotpack.tools import steps
from aotpack.tools.libraries import need
from aotpack.tools.scratch import clear_abandoned, write_whole
from aotpack_doctor.base.regular import SpecialFileError, read_regular

_PEM = b"-----BEGIN "


def sign(folder: Path, key: Path, certificate: Path | None = None, chain: tuple[Path, ...] = ()) -> Path:
    """Sign a bundle; a signature that was there is replaced.

    Args:
        folder: the bundle.
        key: an elliptic-curve private key (P-256, P-384 or P-521) in PEM, without a password.
        certificate: the signer's certificate in PEM, for those who trust its issuer instead of a key.
        chain: certificates between that and the issuer.

    Returns:
        Where the signature is.

    Raises:
        BuildToolError: the library is not installed.
        UsageError: key or certificate cannot be used.
    """
    signing = _library("signing")
    config = signing.Config().set_hashing_config(_hashing(folder))
    for path in (key, *filter(None, (certificate,)), *chain):
        _check_pem(path)
    try:
        if certificate is None:
            config.use_elliptic_key_signer(private_key=key)
        else:
            # The library cannot read a chain of none; a certificate that is named twice is as good as once.
            config.use_certificate_signer(
                private_key=key, signing_certificate=certificate, certificate_chain=chain or (certificate,)
            )
    except Exception as error:  # a dozen kinds, by what it is instead
        if "does not match" in str(error):
            raise UsageError(
                f"{certificate}: is not the certificate of the key {key}",
                meaning="a signature names the certificate of the key that it is made with",
                fix="name the key that the certificate was issued for",
            ) from error
        reason = "a key of another kind" if isinstance(error, AttributeError) else _first_line(error)
        raise UsageError(
            f"{key}: {reason}",
            meaning="a bundle is signed with an elliptic-curve private key (P-256, P-384 or P-521) without a password",
            fix="openssl ecparam -name prime256v1 -genkey -noout -out private.pem",
        ) from error
    return _write(folder, config)


def sign_by_sigstore(folder: Path) -> Path:
    """Sign a bundle with a certificate that Sigstore gives for minutes to whoever proves an identity.

    That is the identity of a CI's job where there is one, else the one that a person logs in with, in a browser.

    Returns:
        Where the signature is.

    Raises:
        BuildToolError: the library is not installed.
        AotpackError: Sigstore cannot be reached, or does not give a certificate.
    """
    config = _library("signing").Config().set_hashing_config(_hashing(folder))
    try:
        with _quiet():
            config.use_sigstore_signer(use_ambient_credentials=True)
        return _write(folder, config)
    except Exception as error:  # of a dozen libraries below it
        raise _unreached(error, "aotpack sign BUNDLE --key private.pem") from error


def _write(folder: Path, config: Any) -> Path:
    """Sign as configured, and replace what was there once the signature is whole."""
    target = folder / NAME
    clear(folder)  # it would be signed as well
    with tempfile.TemporaryDirectory() as elsewhere:  # where nothing is left in the bundle while all of it is read
        partial = Path(elsewhere) / NAME
        with _quiet():
            config.sign(folder, partial)
        steps.reached("signed")
        write_whole(target, partial.read_bytes())
    return target


def clear(folder: Path) -> None:
    """Remove what a `sign` that was killed has left in a bundle."""
    clear_abandoned(folder / NAME)


def verify(folder: Path, *, key: Path | None = None, chain: tuple[Path, ...] = ()) -> Path:
    """Check the bundle's signature against a public key, or against certificates that are trusted.

    Args:
        folder: the bundle.
        key: a public key in PEM.
        chain: certificates in PEM of issuers that are trusted; used when there is no key.

    Returns:
        The signature that holds.

    Raises:
        BuildToolError: the library is not installed.
        UsageError: the key cannot be read.
        DamagedError: there is no signature, it is by another, its certificate expired, or a file is another one.
    """
    verifying = _library("verifying")
    signature = _signature(folder)
    for path in filter(None, (key, *chain)):
        _check_pem(path)
    certificates = _certificates(signature)
    _refuse_kind(signature, certificates, key=key)
    if certificates:
        _refuse_expired(signature, certificates, chain)
    config = verifying.Config().set_hashing_config(_hashing(folder))
    try:
        if key is not None:
            config.use_elliptic_key_verifier(public_key=key)
        else:
            config.use_certificate_verifier(certificate_chain=chain)
    except Exception as error:  # a dozen kinds, by what it is instead
        raise UsageError(
            f"{key or chain[0]}: {_first_line(error)}",
            meaning="a signature is checked with the signer's public key or with its issuer's certificate, in PEM",
            fix="openssl ec -in private.pem -pubout -out public.pem",
        ) from error
    return _check(folder, signature, config)


def verify_by_sigstore(folder: Path, identity: str, provider: str) -> Path:
    """Check that somebody signed the bundle by Sigstore, and Sigstore's log has it.

    Args:
        folder: the bundle.
        identity: who, as the identity provider calls them: an address, or the URL of a CI's workflow.
        provider: the identity provider's URL.

    Returns:
        The signature that holds.

    Raises:
        BuildToolError: the library is not installed.
        DamagedError: there is no signature, it is by somebody else or not by Sigstore, or a file is another one.
        AotpackError: Sigstore's keys cannot be had.
    """
    signature = _signature(folder)
    _refuse_key(signature)
    config = _library("verifying").Config().set_hashing_config(_hashing(folder))
    try:
        with _quiet():
            config.use_sigstore_verifier(identity=identity, oidc_issuer=provider)
    except Exception as error:  # of a dozen libraries below it
        raise _unreached(error, "aotpack verify BUNDLE --key public.pem, if it was signed with a key") from error
    return _check(folder, signature, config)


def _check(folder: Path, signature: Path, config: Any) -> Path:
    """Check a signature as configured."""
    try:
        with _quiet():
            config.verify(folder, signature)
    except AotpackError:
        raise
    except Exception as error:  # libraries below it raise a dozen kinds; none of them means that it holds
        raise _explained(folder, signature, error) from error
    return signature


def _unreached(error: Exception, instead: str) -> AotpackError:
    return AotpackError(
        f"Sigstore: {_first_line(error)[:200] or type(error).__name__}",
        meaning="it needs the network: the keys that Sigstore is trusted by, an identity provider, and its public log",
        fix=f"connect this machine to the internet, or do without: {instead}",
    )


def _refuse_key(signature: Path) -> None:
    """Tell a signature by a bare key before anybody asks Sigstore."""
    try:
        material = json.loads(signature.read_bytes())["verificationMaterial"]
        is_sigstores = "certificate" in material or "x509CertificateChain" in material
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _no_signature(signature, f"{type(error).__name__}: {_first_line(error)}") from None
    if not is_sigstores:
        raise DamagedError(
            f"{signature}: was made with a bare key, not by Sigstore",
            meaning="an identity was asked for, but the signature names none",
            fix="name the signer's public key: aotpack verify --key public.pem",
        )


def _library(part: str) -> Any:
    with _quiet():
        need("model_signing", "model-signing", "an OpenSSF model signature")
        return need(f"model_signing.{part}", "model-signing", "an OpenSSF model signature")


def _hashing(folder: Path) -> Any:
    """Every file, links by what they lead to; not the signatures themselves."""
    hashing = _library("hashing")
    ignored = sorted({NAME, *(path.name for path in signatures(folder))})
    config = hashing.Config().use_file_serialization(allow_symlinks=True)
    config.set_allow_symlinks(True)
    return config.set_ignored_paths(paths=ignored, ignore_git_paths=False)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The library prints; what a command prints is ours."""
    with contextlib.redirect_stdout(io.StringIO()):
        yield


def _signature(folder: Path) -> Path:
    found = signatures(folder)
    if not found:
        raise DamagedError(
            f"{folder}: has no signature",
            meaning="a key was given, so a signature was expected: it was removed, or the bundle was never signed",
            fix=f"get the bundle again from its publisher, or sign it: aotpack sign {folder} --key private.pem",
        )
    if len(found) > 1:
        raise DamagedError(
            f"{folder}: has {len(found)} signatures: {', '.join(path.name for path in found)}",
            meaning="which of them counts is not known",
            fix="remove those that are not of the publisher you trust",
        )
    return found[0]


def _check_pem(path: Path) -> None:
    try:
        content = read_regular(str(path))
    except FileNotFoundError:
        raise UsageError(
            f"{path}: no such file", meaning="a key or certificate was expected there", fix="check the path"
        ) from None
    except SpecialFileError as error:
        raise UsageError(
            f"{path}: {error.strerror}", meaning="a key or certificate was expected there", fix="check the path"
        ) from None
    if _PEM not in content:
        raise UsageError(
            f"{path}: not a PEM file",
            meaning="keys and certificates are read in PEM (-----BEGIN ...)",
            fix="openssl pkey -inform DER -in KEY -out key.pem",
        )


def _certificates(signature: Path) -> list[bytes]:
    """The signer's certificate and those between it and an issuer, in DER, as a signature names them; none when it was
    made with a bare key."""
    try:
        material = json.loads(signature.read_bytes())["verificationMaterial"]
        if "x509CertificateChain" not in material:
            return []
        found = [base64.b64decode(entry["rawBytes"]) for entry in material["x509CertificateChain"]["certificates"]]
        found[0]  # the signer's
        return found
    except (ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
        raise _no_signature(signature, f"{type(error).__name__}: {_first_line(error)}") from None


def _refuse_kind(signature: Path, certificates: list[bytes], *, key: Path | None) -> None:
    """Keys vouch for signatures by keys, certificates for those that name one."""
    if key is not None and certificates:
        raise DamagedError(
            f"{signature}: was made with a certificate, not with a bare key",
            meaning="whether the key belongs to that certificate is not looked at",
            fix="name the certificate's issuer instead: aotpack verify --certificate-chain ca.pem",
        )
    if key is None and not certificates:
        raise DamagedError(
            f"{signature}: was made with a bare key, not with a certificate",
            meaning="certificates to trust were given, but the signature names none that they could vouch for",
            fix="name the signer's public key: aotpack verify --key public.pem",
        )


def _refuse_expired(signature: Path, certificates: list[bytes], trusted: tuple[Path, ...]) -> None:
    """The library looks at certificates as of the signer's first day; a signature without a time stamp says no other.

    The signer's and each of its issuers must be valid now, up to the one that is trusted.
    """
    x509 = need("cryptography.x509", "cryptography", "an OpenSSF model signature")
    try:
        named = [x509.load_der_x509_certificate(certificate) for certificate in certificates]
    except ValueError as error:
        raise _no_signature(signature, _first_line(error)) from error
    issuers = [*named[1:]]
    for path in trusted:
        with contextlib.suppress(ValueError):  # what cannot be read is told when it is to be used
            issuers += x509.load_pem_x509_certificates(read_regular(str(path)))
    now = datetime.now(timezone.utc)
    whose = "the signer's certificate"
    found = named[:1]
    while found:
        good = [one for one in found if one.not_valid_before_utc <= now <= one.not_valid_after_utc]
        if not good:
            first, last = found[0].not_valid_before_utc, found[0].not_valid_after_utc
            state = f"expired on {last:%Y-%m-%d}" if now > last else f"is not valid before {first:%Y-%m-%d}"
            raise DamagedError(
                f"{signature}: {whose} {state}",
                meaning="nothing proves that the bundle was signed while the certificate was good",
                fix="ask the publisher to sign it again with a certificate that is valid",
            )
        issuer = good[0].issuer
        whose = f"the certificate of the issuer {issuer.rfc4514_string()}"
        # Each is followed once: a circle of certificates has no root.
        found = [one for one in issuers if one.subject == issuer]
        issuers = [one for one in issuers if one.subject != issuer]


def _explained(folder: Path, signature: Path, error: Exception) -> DamagedError:
    """What of the many ways to fail it was, in words of its own."""
    text = _first_line(error) or type(error).__name__
    if "Key mismatch" in text or type(error).__name__ == "InvalidSignature":
        return DamagedError(
            f"{signature}: was not made with the private key of this public key",
            meaning="somebody else signed the bundle, or it was signed with another key",
            fix="get the publisher's public key again from a place you trust, then the bundle",
        )
    if text.startswith("Signature mismatch"):
        return DamagedError(
            f"{folder}: {_differences(_unquoted(text.removeprefix('Signature mismatch: ')))[:300]}",
            meaning="the signature is genuine, but files were changed, added or removed since",
            fix="copy the bundle again from its publisher",
        )
    if "certificate" in text.lower():
        return DamagedError(
            f"{signature}: the signer's certificate is not trusted: {text[:200]}",
            meaning="none of the certificates that were given vouches for it",
            fix="name the issuer's certificate: aotpack verify --certificate-chain ca.pem",
        )
    return _no_signature(signature, text[:200])


def _no_signature(signature: Path, reason: str) -> DamagedError:
    return DamagedError(
        f"{signature}: cannot be read as a signature ({reason})",
        meaning="the file is no signature in the format of OpenSSF, or was changed",
        fix="get the bundle and its signature again from the publisher",
    )


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0]


def _differences(text: str) -> str:
    """What is not as it was signed, from the library's list of it; the list itself where it has another form."""
    changed = re.findall("Hash mismatch for '(.*?)': Expected", text)
    return (
        "; ".join(
            f"{what} {names}"
            for what, names in (
                ("not what was signed:", ", ".join(changed)),
                ("signed by nobody:", ", ".join(re.findall(r"Extra files found in model '.*?': (.*?)[\"']", text))),
                ("signed and missing:", ", ".join(re.findall(r"Missing files in model '.*?': (.*?)[\"']", text))),
            )
            if names
        )
        or text
    )


def _unquoted(text: str) -> str:
    """A message that the library prints as Python does a list of texts: by what is in them, it quotes the quotes."""
    return text.replace("\\'", "'")
