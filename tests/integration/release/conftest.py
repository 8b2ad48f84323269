"""A small portable bundle, keys and certificates for tests of releases."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from aotpack.backend import Backend
from aotpack.building.build import build
from aotpack.building.request import BuildRequest
from aotpack.progress.reporter import Reporter
from aotpack.release.packing import PackRequest, Release, pack


@pytest.fixture(scope="session")
def small(backend_venv: Path, exported: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A portable bundle of the MLP with the slim runtime. Tests must not change it."""
    folder = tmp_path_factory.mktemp("small")
    (folder / "greeting.txt").write_text("hello")
    output = folder / "mlp"
    build(
        BuildRequest(
            backend=Backend.CPU,
            output=output,
            models=(("mlp", exported("mlp")),),
            portable=True,
            runtime="slim",
            assets=(("words/greeting.txt", folder / "greeting.txt"),),
            metadata={"sample_rate": 16000},
            venv=backend_venv,
        ),
        Reporter(),
    )
    return output


@pytest.fixture(scope="session")
def with_crypto(backend_venv: Path, exported: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that checks signatures itself. Tests must not change it."""
    folder = tmp_path_factory.mktemp("crypto")
    request = BuildRequest(
        backend=Backend.CPU,
        output=folder / "mlp",
        models=(("mlp", exported("mlp")),),
        portable=True,
        with_crypto=True,
        venv=backend_venv,
    )
    build(request, Reporter())
    return folder / "mlp"


@pytest.fixture
def copy(small: Path, tmp_path: Path) -> Path:
    """A copy of it to change."""
    return Path(shutil.copytree(small, tmp_path / "mlp", symlinks=True))


@dataclass(frozen=True)
class Identity:
    """A key pair, and certificates for it."""

    private: Path
    public: Path
    certificate: Path
    #: One that was good in 2020 alone.
    expired: Path


@dataclass(frozen=True)
class Keys:
    """Two signers, and the authority that vouches for both."""

    alice: Identity
    mallory: Identity
    authority: Path
    #: One that vouches for neither.
    stranger: Path
    #: Signed by one between it and the authority, which was good in 2020 alone.
    late: Path
    between: Path


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    folder = tmp_path_factory.mktemp("keys")
    authority, authority_pem = _authority(folder / "authority.pem")
    _, stranger_pem = _authority(folder / "stranger.pem")
    alice, mallory = (_identity(folder / name, authority) for name in ("alice", "mallory"))
    old, between = _authority(folder / "between.pem", authority, datetime(2021, 1, 1, tzinfo=timezone.utc))
    late = _identity(folder / "late", old, key=alice.private).certificate
    return Keys(alice, mallory, authority_pem, stranger_pem, late, between)


_NOW = datetime.now(timezone.utc)
_Authority = tuple[ec.EllipticCurvePrivateKey, x509.Name]


def _authority(
    path: Path, issuer: _Authority | None = None, end: datetime = _NOW + timedelta(400)
) -> tuple[_Authority, Path]:
    """One that vouches for itself, or that another vouches for."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, path.stem)])
    usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
    by_key, by_name = issuer or (key, name)
    builder = _builder(name, by_name, key.public_key(), datetime(2019, 1, 1, tzinfo=timezone.utc), end)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    certificate = builder.add_extension(usage, critical=True).sign(by_key, hashes.SHA256())
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return (key, name), path


def _identity(folder: Path, authority: _Authority, key: Path | None = None) -> Identity:
    folder.mkdir()
    return _identity_of(folder, authority, ec.generate_private_key(ec.SECP256R1()) if key is None else _read(key))


def _read(path: Path) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(path.read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key


def _identity_of(folder: Path, authority: _Authority, key: ec.EllipticCurvePrivateKey) -> Identity:
    private, public = folder / "private.pem", folder / "public.pem"
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    public.write_bytes(
        key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    good = _certificate(folder / "certificate.pem", key, authority, _NOW - timedelta(1), _NOW + timedelta(100))
    year = [datetime(year, 1, 1, tzinfo=timezone.utc) for year in (2020, 2021)]
    return Identity(private, public, good, _certificate(folder / "expired.pem", key, authority, *year))


def _certificate(
    path: Path, key: ec.EllipticCurvePrivateKey, authority: _Authority, begin: datetime, end: datetime
) -> Path:
    issuer_key, issuer = authority
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, path.parent.name)])
    usage = x509.KeyUsage(True, False, False, False, False, False, False, False, False)
    builder = _builder(name, issuer, key.public_key(), begin, end).add_extension(usage, critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False)
    certificate = builder.sign(issuer_key, hashes.SHA256())
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return path


def _builder(
    name: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, begin: datetime, end: datetime
) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(issuer).public_key(key)
    return builder.serial_number(x509.random_serial_number()).not_valid_before(begin).not_valid_after(end)


def packed(bundle: Path, form: str, output: Path, **options: str) -> Release:
    request = PackRequest(bundle, form, output, **options)  # type: ignore[arg-type]
    return pack(request, lambda _text, _total: nullcontext(lambda _done: None))


def tree(folder: Path) -> dict[str, tuple[str, int, bytes]]:
    """Name -> link, permissions and content of all files."""
    return {
        path.relative_to(folder).as_posix(): (os.readlink(path), 0, b"")  # noqa: PTH115
        if path.is_symlink()
        else ("", path.stat().st_mode & 0o777, path.read_bytes())
        for path in folder.rglob("*")
        if path.is_symlink() or path.is_file()
    }
