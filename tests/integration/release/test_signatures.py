"""Signatures in both directions with the official tool, and all the ways in which one does not hold."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from aotpack.bundle import manifest, signatures
from aotpack.errors import DamagedError, UsageError
from aotpack.release.signing import sign, verify
from aotpack.verifying.digest import check_digest
from aotpack.verifying.static import check_static
from tests.integration.release.conftest import Keys
from tests.support import faults


def official(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """OpenSSF's own command line."""
    command = [sys.executable, "-m", "model_signing", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_official_tool_accepts_what_we_sign(copy: Path, keys: Keys) -> None:
    signature = sign(copy, keys.alice.private)
    assert signature == copy / signatures.NAME
    assert not check_static(copy).problems
    done = official("verify", "key", copy, "--signature", signature, "--public_key", keys.alice.public)
    assert (done.returncode, done.stdout.strip()) == (0, "Verification succeeded")
    done = official("verify", "key", copy, "--signature", signature, "--public_key", keys.mallory.public)
    assert done.returncode != 0
    sign(copy, keys.alice.private, keys.alice.certificate)
    done = official("verify", "certificate", copy, "--signature", signature, "--certificate_chain", keys.authority)
    assert (done.returncode, done.stdout.strip()) == (0, "Verification succeeded")


def test_we_accept_what_the_official_tool_signs(copy: Path, keys: Keys) -> None:
    signature = copy / "model.sig"
    done = official("sign", "key", copy, "--signature", signature, "--private_key", keys.alice.private)
    assert done.returncode == 0, done.stderr
    assert not check_static(copy).problems
    assert verify(copy, key=keys.alice.public) == signature


def test_a_link_is_signed_by_what_it_leads_to(copy: Path, keys: Keys) -> None:
    (copy / "share" / "link").symlink_to("../bin/aotrun")
    signature = sign(copy, keys.alice.private)
    command = ("verify", "key", copy, "--signature", signature, "--public_key", keys.alice.public)
    assert official(*command, "--allow_symlinks").returncode == 0
    verify(copy, key=keys.alice.public)


def _another_content(bundle: Path, keys: Keys) -> None:
    sign(bundle, keys.alice.private)
    (bundle / "models" / "mlp" / "model.json").write_text("{}")


def _another_file(bundle: Path, keys: Keys) -> None:
    sign(bundle, keys.alice.private)
    (bundle / "lib" / "extra.so").write_text("extra")


def _another_key(bundle: Path, keys: Keys) -> None:
    sign(bundle, keys.mallory.private)


def _by_certificate(bundle: Path, keys: Keys) -> None:
    sign(bundle, keys.alice.private, keys.alice.certificate)


def _removed(bundle: Path, keys: Keys) -> None:
    sign(bundle, keys.alice.private).unlink()


def _two(bundle: Path, keys: Keys) -> None:
    (bundle / "model.sig").write_bytes(sign(bundle, keys.alice.private).read_bytes())


def _garbage(bundle: Path, _keys: Keys) -> None:
    (bundle / signatures.NAME).write_text("not a signature")


def _other_payload(bundle: Path, keys: Keys) -> None:
    """What was signed, changed afterwards."""
    path = sign(bundle, keys.alice.private)
    document = json.loads(path.read_bytes())
    document["dsseEnvelope"]["payload"] = document["dsseEnvelope"]["payload"][:-8] + "AAAAAAA="
    path.write_text(json.dumps(document))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_another_content, "Hash mismatch for 'models/mlp/model.json'"),
        (_another_file, r"Extra files found .*lib/extra\.so"),
        (_another_key, "was not made with the private key of this public key"),
        (_by_certificate, "was made with a certificate, not with a bare key"),
        (_removed, "has no signature"),
        (_two, "has 2 signatures: bundle.sig, model.sig"),
        (_garbage, "cannot be read as a signature"),
        (_other_payload, "was not made with the private key of this public key"),
    ],
)
def test_each_fault_in_its_own_words(change: Callable[[Path, Keys], None], words: str, copy: Path, keys: Keys) -> None:
    change(copy, keys)
    with pytest.raises(DamagedError, match=words):
        verify(copy, key=keys.alice.public)


def test_certificates(copy: Path, keys: Keys) -> None:
    sign(copy, keys.alice.private, keys.alice.certificate)
    verify(copy, chain=(keys.authority,))
    with pytest.raises(DamagedError, match="certificate is not trusted"):
        verify(copy, chain=(keys.stranger,))
    sign(copy, keys.alice.private, keys.alice.expired)
    with pytest.raises(DamagedError, match="certificate expired on 2021-01-01"):
        verify(copy, chain=(keys.authority,))
    sign(copy, keys.alice.private, keys.late, (keys.between,))
    with pytest.raises(DamagedError, match="certificate of the issuer CN=between expired on 2021-01-01"):
        verify(copy, chain=(keys.authority,))
    sign(copy, keys.alice.private)
    with pytest.raises(DamagedError, match="was made with a bare key"):
        verify(copy, chain=(keys.authority,))


def test_a_kill_leaves_the_signature_that_was_there(copy: Path, keys: Keys) -> None:
    before = sign(copy, keys.alice.private).read_bytes()
    ended = faults.run(lambda: sign(copy, keys.mallory.private), "signed", faults.kill())
    assert ended.status == -9
    assert (copy / signatures.NAME).read_bytes() == before
    assert not check_static(copy).problems
    (copy / f".{signatures.NAME}.aotpack-new-12345678").mkdir()  # of one that was killed as it put it in place
    sign(copy, keys.alice.private)
    assert not check_static(copy).problems
    verify(copy, key=keys.alice.public)


def test_keys_that_cannot_be_used(small: Path, keys: Keys, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        sign(small, tmp_path / "none.pem")
    (tmp_path / "text.pem").write_text("no key")
    with pytest.raises(UsageError, match="not a PEM file"):
        sign(small, tmp_path / "text.pem")
    with pytest.raises(UsageError, match="private key"):
        sign(small, keys.alice.public)
    with pytest.raises(UsageError, match="is not the certificate of the key"):
        sign(small, keys.alice.private, keys.mallory.certificate)
    assert not signatures.signatures(small)


def test_a_digest_that_travelled_another_way(small: Path) -> None:
    bundle = manifest.load_bundle(small)
    check_digest(small, bundle, f"sha256:{bundle.digest}")
    check_digest(small, bundle, bundle.digest.upper())
    with pytest.raises(DamagedError, match="asked for was sha256:000000000000"):
        check_digest(small, bundle, "sha256:" + "0" * 64)
    for text in ("sha256:12", "sha512:" + "0" * 64, "0" * 63 + "g", ""):
        with pytest.raises(UsageError, match="not a SHA-256"):
            check_digest(small, bundle, text)


def test_the_commands_and_their_exit_codes(copy: Path, keys: Keys) -> None:
    def aotpack(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "aotpack", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    assert aotpack("verify", copy, "--key", keys.alice.public).returncode == 6
    assert aotpack("sign", copy, "--key", keys.alice.private).returncode == 0
    done = aotpack("verify", copy, "--key", keys.alice.public, "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["whole"]
    assert document["signature"] == signatures.NAME
    assert document["digest"] == f"sha256:{manifest.load_bundle(copy).digest}"
    refused = aotpack("verify", copy, "--key", keys.mallory.public)
    assert (refused.returncode, refused.stdout) == (6, "")
    assert refused.stderr.count("\n  fix: ") == 1
    assert "Traceback" not in refused.stderr
    assert aotpack("sign", copy, "--key", copy / "none.pem").returncode == 2
    assert aotpack("verify", copy, "--digest", "sha256:" + "0" * 64).returncode == 6
    (copy / "lib" / "extra.so").write_text("extra")
    assert aotpack("sign", copy, "--key", keys.alice.private).returncode == 6
