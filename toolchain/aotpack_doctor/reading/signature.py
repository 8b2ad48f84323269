"""A bundle's signature in the format of OpenSSF Model Signing v1.0, checked on the target.

Whose it is, libcrypto says; that it is of these files, their hashes in `bundle.json`, which their contents are held
against.
"""

from __future__ import annotations

import binascii
import json
import os
import posixpath
from typing import Any, NamedTuple

from aotpack_doctor.base import hashing, libcrypto, single_file
from aotpack_doctor.base.places import DESCRIPTION, is_signature
from aotpack_doctor.base.regular import read_regular
from aotpack_doctor.reading.description import Description

_PAYLOAD = "application/vnd.in-toto+json"
_PREDICATE = "https://model_signing/signature/v1.0"


class Checked(NamedTuple):
    """What became of a signature: the name of its file, or what is wrong with it."""

    signed: str | None = None
    problem: str | None = None


def check_signature(bundle: str, description: Description, key: bytes, library: str) -> Checked:
    """Hold a bundle against a public key.

    Args:
        bundle: its folder, or the file that it is.
        description: of the bundle.
        key: in PEM.
        library: libcrypto's path.

    Raises:
        OSError: the library cannot be loaded.
        ValueError: the key cannot be used.
    """
    names = _signatures(bundle)
    if len(names) != 1:
        what = "the bundle has no signature: it was removed, or never made"
        return Checked(problem=f"the bundle has several signatures: {', '.join(names)}" if names else what)
    try:
        document = json.loads(read_regular(os.path.join(bundle, names[0]), follow=False))
        if "x509CertificateChain" in document["verificationMaterial"]:
            return Checked(problem=f"{names[0]} was made with a certificate, not with a bare key")
        envelope = document["dsseEnvelope"]
        kind, payload = str(envelope["payloadType"]), binascii.a2b_base64(envelope["payload"])
        signature = binascii.a2b_base64(envelope["signatures"][0]["sig"])
    except (ValueError, KeyError, TypeError, IndexError, OSError, RecursionError) as error:
        return Checked(problem=f"{names[0]} is no signature of a model ({type(error).__name__})")
    if not libcrypto.verifies(library, key, signature, _signed(kind, payload)):
        return Checked(problem=f"{names[0]} was not made with the private key of this public key")
    try:
        if kind != _PAYLOAD:
            raise ValueError(f"it is of {kind}")
        difference = _difference(_resources(json.loads(payload)), _expected(bundle, description))
    except (ValueError, KeyError, TypeError, OSError, RecursionError) as error:
        return Checked(problem=f"{names[0]} is genuine, but no signature of a model: {error}")
    return Checked(problem=f"{names[0]} is genuine, but {difference}") if difference else Checked(signed=names[0])


def _signatures(bundle: str) -> list[str]:
    if not os.path.isdir(bundle):
        return sorted(filter(is_signature, single_file.SingleFile(bundle).entries))
    return sorted(name for name in os.listdir(bundle) if is_signature(name))


def _signed(kind: str, payload: bytes) -> bytes:
    """What of an envelope is signed (DSSE v1)."""
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind.encode(), len(payload), payload)


def _resources(statement: Any) -> dict[str, str]:
    """Name -> SHA-256 of what was signed. Raises ValueError, KeyError, TypeError."""
    if statement["predicateType"] != _PREDICATE:
        raise ValueError(f"its statement is a {statement['predicateType']}")
    digest = hashing.PYTHONS.new()
    found = {}
    for resource in statement["predicate"]["resources"]:
        if resource["algorithm"] != "sha256":
            raise ValueError(f"it has hashes by {resource['algorithm']}; the bundle has SHA-256")
        found[str(resource["name"])] = str(resource["digest"])
        digest.update(bytes.fromhex(resource["digest"]))
    if [subject["digest"]["sha256"] for subject in statement["subject"]] != [digest.hexdigest()]:
        raise ValueError("its list of files is not the one that its subject names")
    return found


def _expected(bundle: str, description: Description) -> dict[str, str]:
    """The same of the bundle: its files, links by what they lead to, and its description."""
    records = {record.path: record for record in description.files}
    found = {}
    for path, record in records.items():
        target = record
        for _ in records:
            if target.link is None:
                break
            target = records[posixpath.normpath(posixpath.join(posixpath.dirname(target.path), target.link))]
        found[path] = target.sha256
    digest = hashing.PYTHONS.new()
    digest.update(read_regular(os.path.join(bundle, DESCRIPTION), follow=False))
    return {**found, DESCRIPTION: digest.hexdigest()}


def _difference(signed: dict[str, str], expected: dict[str, str]) -> str | None:
    for what, names in (
        ("is of other files than these: changed is", [n for n in signed if n in expected and signed[n] != expected[n]]),
        ("misses what was added since:", sorted(set(expected) - set(signed))),
        ("is of more than is here:", sorted(set(signed) - set(expected))),
    ):
        if names:
            return f"{what} {', '.join(names[:3])}" + (f" and {len(names) - 3} more" if names[3:] else "")
    return None
