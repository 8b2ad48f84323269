"""Signatures in both directions with the official tool, and all the ways in which one does not hold."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from aotpack.api.verification import verify as verify_bundle
from aotpack.bundle import manifest, signatures
from aotpack.errors import DamagedError, UsageError
from aotpack.release.signing import sign, verify
from aotpack.verifying.digest import check_digest
from aotpack.verifying.static import check_static
from aotpack_doctor.base.places import DESCRIPTION
from aotpack_doctor.base.single_file import HEAD_SIZE, INDEX_AT, MARK, SingleFile
from tests.integration.release.conftest import Keys, packed
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


def _missing_file(bundle: Path, keys: Keys) -> None:
    sign(bundle, keys.alice.private)
    (bundle / "models" / "mlp" / "model.json").unlink()


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
        (_another_content, "not what was signed: models/mlp/model.json$"),
        (_another_file, r"signed by nobody: lib/extra\.so$"),
        (_missing_file, "signed and missing: models/mlp/model.json$"),
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
    with pytest.raises(DamagedError) as raised:
        verify(copy, key=keys.alice.public)
    assert re.search(words, raised.value.what)


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
    (tmp_path / "edwards.pem").write_bytes(
        ed25519.Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    with pytest.raises(UsageError, match=r"edwards\.pem: a key of another kind"):
        sign(small, tmp_path / "edwards.pem")
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


def on_target(bundle: Path, *words: str | Path) -> tuple[int, str]:
    """What the bundle's own doctor says."""
    program = bundle / "bin" / "aotrun" if bundle.is_dir() else bundle
    done = subprocess.run([program, "doctor", *words], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_the_doctor_on_the_target(with_crypto: Path, keys: Keys, tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(with_crypto, tmp_path / "mlp", symlinks=True))
    alice = ("--key", keys.alice.public)
    assert not check_static(bundle).problems
    code, text = on_target(bundle, *alice)
    assert (code, "has no signature" in text) == (6, True)
    sign(bundle, keys.alice.private)
    code, text = on_target(bundle, *alice)
    assert (code, "signed by this key" in text) == (0, True), text
    code, text = on_target(bundle, "--key", keys.mallory.public, "--quick")
    assert (code, "not made with the private key" in text) == (6, True)
    (bundle / "provenance.json").write_bytes(
        (bundle / "provenance.json").read_bytes().replace(b"aotpack", b"aotpick", 1)
    )
    assert on_target(bundle, *alice, "--quick")[0] == 6
    (bundle / "provenance.json").write_bytes((with_crypto / "provenance.json").read_bytes())
    code, text = on_target(bundle, "--key", keys.alice.private)
    assert (code, "no public key" in text) == (2, True)
    assert on_target(bundle, "--key", tmp_path / "none.pem")[0] == 2
    single = packed(bundle, "file", tmp_path / "mlp.aot").output
    code, text = on_target(single, *alice)
    assert (code, "signed by this key" in text) == (0, True), text


def test_a_signature_covers_every_byte_of_a_single_file(with_crypto: Path, keys: Keys, tmp_path: Path) -> None:
    """Of each region one byte is changed; asked are the toolchain, and the doctor by an interpreter that was not."""
    bundle = Path(shutil.copytree(with_crypto, tmp_path / "mlp", symlinks=True))
    sign(bundle, keys.alice.private)
    whole = packed(bundle, "file", tmp_path / "mlp.aot").output
    content = whole.read_bytes()
    file = SingleFile(str(whole))

    def middle(path: str) -> int:
        entry = file.entries[path]
        return (entry.offset or 0) + entry.size // 2

    first_of_zip = content.index(b"PK\3\4", middle("models/mlp/model.json"))
    regions = {
        "the launcher": 100,
        "behind the launcher": INDEX_AT - 1,
        "the mark": INDEX_AT + 3,
        "the file's size": INDEX_AT + len(MARK) + 5,
        "the digest": INDEX_AT + HEAD_SIZE - 2,
        "a place in the index": content.index(b"\tlib/libaot_slim.so\n") - 12,
        "a mode in the index": content.index(b"file\t", INDEX_AT) + 6,
        "what starts first": content.index(b"\npreload\t", INDEX_AT) + 20,
        "what a library needs": content.rindex(b"\nneeds\t", 0, content.index(b"\0", INDEX_AT)) + 8,
        "between the files": (file.entries["lib/libaot_slim.so"].offset or 0) - 1,
        "a library": middle("lib/libaot_slim.so"),
        "a model": middle("models/mlp/model.json"),
        "the description": middle("bundle.json"),
        "the signature": middle("bundle.sig"),
        "a member of the zip": first_of_zip + 32,
        "the zip's table": content.rindex(b"PK\1\2") + 50,
        "the zip's end": len(content) - 1,
    }
    assert verify_bundle(whole, key=keys.alice.public).signature is not None
    for name, place in regions.items():
        changed = tmp_path / f"{name}.aot"
        changed.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(DamagedError) as raised:
            verify_bundle(changed, key=keys.alice.public)
        assert raised.value.exit_code == 6, name
        done = told_on_target(with_crypto, changed, keys)
        assert (done.returncode, "Traceback" in done.stderr) == (6, False), (name, done.stdout, done.stderr)
        changed.unlink()


def told_on_target(by: Path, bundle: Path, keys: Keys) -> subprocess.CompletedProcess[str]:
    """What the doctor of one bundle says of another and of alice's signature."""
    code = f"import sys; sys.path.insert(0, {str(by / 'runner')!r}); from aotpack_doctor import on_target; "
    code += f"sys.exit(on_target.main(['--key', {str(keys.alice.public)!r}], {str(bundle)!r}))"
    return subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=False)


def _resealed(bundle: Path) -> None:
    """Somebody changes a file and the description with it."""
    weights = bundle / "models" / "mlp" / "sample.npz"
    weights.write_bytes(weights.read_bytes() + b"x")
    document = manifest.load_bundle(bundle)
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    name = weights.relative_to(bundle).as_posix()
    files = tuple(
        msgspec.structs.replace(record, sha256=digest, size=record.size + 1) if record.path == name else record
        for record in document.files
    )
    (bundle / DESCRIPTION).write_bytes(manifest.encode(msgspec.structs.replace(document, files=files)))


def _another_payload(bundle: Path) -> None:
    signature = bundle / signatures.NAME
    document = json.loads(signature.read_bytes())
    payload = json.loads(base64.b64decode(document["dsseEnvelope"]["payload"]))
    payload["predicate"]["resources"].pop()
    document["dsseEnvelope"]["payload"] = base64.b64encode(json.dumps(payload).encode()).decode()
    signature.write_text(json.dumps(document))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_resealed, "is of other files than these"),
        (_another_payload, "not made with the private key"),
        (lambda bundle: (bundle / signatures.NAME).write_text("{}"), "no signature of a model"),
        (lambda bundle: (bundle / signatures.NAME).unlink(), "has no signature"),
        (lambda bundle: shutil.copy(bundle / signatures.NAME, bundle / "other.sig"), "several signatures"),
        (lambda bundle: (bundle / "bin" / "aotrun").write_bytes(b""), "AP501"),
    ],
)
def test_the_doctor_on_the_target_believes_nothing_else(
    change: Callable[[Path], object], words: str, with_crypto: Path, keys: Keys, tmp_path: Path
) -> None:
    """What was changed is checked by an interpreter that was not."""
    bundle = Path(shutil.copytree(with_crypto, tmp_path / "mlp", symlinks=True))
    sign(bundle, keys.alice.private)
    change(bundle)
    done = told_on_target(with_crypto, bundle, keys)
    assert done.returncode == 6, done.stdout + done.stderr
    assert words in done.stdout


def test_a_signature_by_a_certificate_is_not_one_by_a_key(with_crypto: Path, keys: Keys, tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(with_crypto, tmp_path / "mlp", symlinks=True))
    sign(bundle, keys.alice.private, keys.alice.certificate)
    code, text = on_target(bundle, "--key", keys.alice.public)
    assert (code, "with a certificate" in text) == (6, True)


def test_a_bundle_without_crypto_says_so(small: Path, keys: Keys) -> None:
    code, text = on_target(small, "--key", keys.alice.public)
    assert (code, "brings no libcrypto" in text, "--with-crypto" in text) == (2, True, True)


def test_the_doctor_of_the_build_machine(copy: Path, keys: Keys) -> None:
    from aotpack.api.diagnosis import doctor

    def codes(key: Path) -> list[str]:
        return [each.kind.code for each in doctor(bundle=copy, key=key).findings if each.kind.group == "bundle"]

    sign(copy, keys.alice.private)
    assert codes(keys.alice.public) == []
    assert codes(keys.mallory.public) == ["AP516"]


def offline(folder: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run `aotpack` where nothing beyond this machine can be reached."""
    nowhere = "http://127.0.0.1:9"
    places = {"HOME": str(folder), "XDG_DATA_HOME": str(folder), "XDG_CACHE_HOME": str(folder)}
    proxies = {
        name: nowhere for each in ("http", "https", "all") for name in (f"{each}_proxy", f"{each}_proxy".upper())
    }
    return subprocess.run(
        [sys.executable, "-m", "aotpack", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **places, **proxies},
    )


def test_sigstore_needs_the_network(copy: Path, keys: Keys, tmp_path: Path) -> None:
    """What it does with one is not proven here."""
    asked = ("--sigstore", "--identity", "alice@example.org", "--identity-provider", "https://accounts.example.org")
    sign(copy, keys.alice.private, keys.alice.certificate)
    for command in (("sign", copy, "--sigstore"), ("verify", copy, *asked)):
        done = offline(tmp_path, *command)
        assert done.returncode == 1, done.stdout + done.stderr
        assert "error: Sigstore: " in done.stderr
        assert "it needs the network" in done.stderr
    assert verify(copy, chain=(keys.authority,)).name == signatures.NAME  # the one that was there is left
    sign(copy, keys.alice.private)
    done = offline(tmp_path, "verify", copy, *asked)
    assert (done.returncode, "with a bare key, not by Sigstore" in done.stderr) == (6, True)


@pytest.mark.parametrize(
    "words",
    [
        ("verify", "--sigstore"),
        ("verify", "--identity", "a"),
        ("verify", "--sigstore", "--identity", "a", "--identity-provider", "b", "--key", "c.pem"),
        ("sign",),
        ("sign", "--sigstore", "--key", "private.pem"),
    ],
)
def test_options_of_sigstore_that_do_not_go_together(words: tuple[str, ...], small: Path, tmp_path: Path) -> None:
    done = offline(tmp_path, words[0], small, *words[1:])
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 3)
