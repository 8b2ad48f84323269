"""Reading the hashes that wheels record."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

from aotpack.environment.wheel_records import parse_record, wheel_hashes

CONTENT = b"a library"
DIGEST = hashlib.sha256(CONTENT)
ENCODED = base64.urlsafe_b64encode(DIGEST.digest()).rstrip(b"=").decode()


def test_hashes_are_turned_into_hex() -> None:
    assert list(parse_record(f"nvidia/lib/liba.so,sha256={ENCODED},9\n")) == [
        ("nvidia/lib/liba.so", DIGEST.hexdigest())
    ]


def test_lines_without_a_usable_hash_are_passed_over() -> None:
    assert not list(parse_record("a.dist-info/RECORD,,\nb.py,md5=abc,3\nc.py\n\nd.py,sha256=!,3\n"))


def test_names_with_commas_are_quoted() -> None:
    assert [name for name, _ in parse_record(f'"a,b.so",sha256={ENCODED},9')] == ["a,b.so"]


def test_only_the_files_asked_for_are_found(tmp_path: Path) -> None:
    record = tmp_path / "nvidia_a-1.dist-info" / "RECORD"
    record.parent.mkdir()
    record.write_text(f"nvidia/lib/liba.so,sha256={ENCODED},9\nnvidia/lib/libb.so,sha256={ENCODED},9\n")
    asked = [tmp_path / "nvidia/lib/liba.so", tmp_path / "torch/lib/libc.so", Path("/usr/lib/libz.so.1")]
    assert wheel_hashes(tmp_path, asked) == {asked[0]: DIGEST.hexdigest()}
