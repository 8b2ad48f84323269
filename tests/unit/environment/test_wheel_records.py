"""Reading the hashes that wheels record."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

from aotpack.environment.wheel_records import wheel_hashes

CONTENT = b"a library"
DIGEST = hashlib.sha256(CONTENT)
ENCODED = base64.urlsafe_b64encode(DIGEST.digest()).rstrip(b"=").decode()


def hashes(site_packages: Path, record: str, *asked: str) -> dict[str, str]:
    """What a wheel with this RECORD says of files; those that exist in `site_packages` hold CONTENT."""
    folder = site_packages / "nvidia_a-1.dist-info"
    folder.mkdir()
    (folder / "RECORD").write_text(record)
    for name in asked:
        (site_packages / name).parent.mkdir(parents=True, exist_ok=True)
        (site_packages / name).write_bytes(CONTENT)
    found = wheel_hashes(site_packages, [site_packages / name for name in asked])
    return {path.relative_to(site_packages).as_posix(): digest for path, digest in found.items()}


def test_hashes_are_turned_into_hex(tmp_path: Path) -> None:
    record = f"nvidia/lib/liba.so,sha256={ENCODED},9\n"
    assert hashes(tmp_path, record, "nvidia/lib/liba.so") == {"nvidia/lib/liba.so": DIGEST.hexdigest()}


def test_lines_without_a_usable_hash_are_passed_over(tmp_path: Path) -> None:
    record = "a.dist-info/RECORD,,\nb.py,md5=abc,3\nc.py\nd.py,sha256=!,3\n"
    assert not hashes(tmp_path, record, "b.py", "c.py", "d.py")


def test_a_record_that_is_none_says_nothing(tmp_path: Path) -> None:
    assert not hashes(tmp_path, f"\n\na.py,sha256={ENCODED},many\n", "a.py")


def test_names_with_commas_are_quoted(tmp_path: Path) -> None:
    assert hashes(tmp_path, f'"a,b.so",sha256={ENCODED},9\n', "a,b.so") == {"a,b.so": DIGEST.hexdigest()}


def test_only_the_files_asked_for_are_found(tmp_path: Path) -> None:
    record = f"nvidia/lib/liba.so,sha256={ENCODED},9\nnvidia/lib/libb.so,sha256={ENCODED},9\n"
    assert hashes(tmp_path, record, "nvidia/lib/liba.so", "torch/lib/libc.so") == {
        "nvidia/lib/liba.so": DIGEST.hexdigest()
    }
    assert wheel_hashes(tmp_path, [Path("/usr/lib/libz.so.1")]) == {}
