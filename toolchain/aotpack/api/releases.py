"""`aotpack.pack` and signing: a bundle in the form that it travels in."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from aotpack.bundle.manifest import load_bundle
from aotpack.progress.choosing import Progress, reporter_for
from aotpack.release.packing import PackRequest, Release
from aotpack.release.packing import pack as pack_bundle


def pack(
    bundle: str | os.PathLike[str],
    form: str = "tar.zst",
    output: str | os.PathLike[str] | None = None,
    *,
    tag: str | None = None,
    push: str | None = None,
    progress: Progress = None,
) -> Release:
    """Verify a bundle, then write it in another form. Needs `pip install 'aotpack[release]'`.

        aotpack.pack("dist/mlp", "tar.zst")
        aotpack.pack("dist/mlp", "wheel", tag="mlp:1.0")

    Args:
        bundle: the folder.
        form: as `aotpack pack --format`.
        output: where; beside the bundle by default.
        tag: `NAME:TAG`, name and version of an image or wheel.
        push: `REGISTRY/NAME:TAG` to push an image to.
        progress: as for `aotpack.export`.

    Raises:
        AotpackError: one of its subclasses, as the exit codes say.
    """
    where = None if output is None else Path(output)
    return pack_bundle(PackRequest(Path(bundle), form, where, tag, push), reporter_for(progress).bytes)


def sign(
    bundle: str | os.PathLike[str],
    key: str | os.PathLike[str] | None,
    *,
    certificate: str | os.PathLike[str] | None = None,
    certificate_chain: Iterable[str | os.PathLike[str]] = (),
    progress: Progress = None,
) -> Path:
    """Verify a bundle, then sign it in the format of OpenSSF Model Signing v1.0; returns the signature's file.

    Args:
        bundle: the folder.
        key: private elliptic-curve key, PEM without a password; None to sign by Sigstore, which needs the network.
        certificate: the signer's, to be named in the signature.
        certificate_chain: what stands between it and its issuer.
        progress: as for `aotpack.export`.

    Raises:
        AotpackError: one of its subclasses, as the exit codes say.
    """
    from aotpack.release import signing
    from aotpack.release.contents import whole_bundle

    folder, reporter = Path(bundle), reporter_for(progress)
    size = sum(record.size for record in load_bundle(folder).files)
    if folder.is_dir():
        signing.clear(folder)
    with reporter.bytes("verifying the bundle", size) as done:
        whole_bundle(folder, done)
    with reporter.step("signing"):
        if key is None:
            return signing.sign_by_sigstore(folder)
        named = None if certificate is None else Path(certificate)
        return signing.sign(folder, Path(key), named, tuple(map(Path, certificate_chain)))
