"""Bundles of anybody: their descriptions, sealed or not, as every command reads them."""

from __future__ import annotations

import contextlib
import hashlib
import json
import random
from pathlib import Path
from typing import Any

import pytest
from aotrun.commands import check, info
from aotrun.errors import AotError
from aotrun.library import bundle as places

from aotpack.building import output_folder
from aotpack.bundle import manifest
from aotpack.errors import AotpackError, UsageError
from aotpack.verifying.static import check_static
from aotpack_doctor.base import frame, single_file
from aotpack_doctor.facts import Host
from aotpack_doctor.reading.bundle import read_bundle
from tests.fuzz.mutating import mutated_bytes, mutated_document, mutated_table, text_of
from tests.fuzz.running import fuzz

MODEL = {
    "schema": 2,
    "inputs": [{"name": "x", "dtype": "float32", "dims": [{"symbol": "n", "min": 1, "max": 8}, 4]}],
    "outputs": [{"name": "y", "dtype": "float32", "dims": [None, 2]}],
    "device": "cpu",
    "machine": "x86_64",
    "cpu_features": ["avx2"],
    "floors": {"glibc": "2.17"},
}
#: What the bridge says of itself.
BRIDGE = {"api_version": 3, "compiler": "g++", "runtime": "slim", "machine": "x86_64", "cpu": "a CPU"}
DOCUMENT: dict[str, Any] = {
    "schema": 1,
    "aotpack": "0.1.0",
    "backend": "cpu",
    "runtime": "slim",
    "portable": True,
    "libc": "bundled",
    "python": "bundled",
    "torch": {"version": "2.13.0+cpu", "variant": "cpu"},
    "built_on": {"system": "Debian", "machine": "x86_64", "glibc": "2.36", "compiler": "g++", "python": "3.11"},
    "floors": {"kernel": "3.2.0", "cpu_features": ["avx2"], "embedding_glibc": "2.34"},
    "models": {"m": MODEL},
    "files": [
        {"path": "lib/a.txt", "part": "runtime", "reason": "a test", "size": 4, "sha256": "0" * 64},
        {"path": "lib/b.txt", "part": "runtime", "reason": "a test", "link": "a.txt"},
        {"path": "models/m/model.json", "part": "model", "reason": "a test", "size": 2, "sha256": "1" * 64},
    ],
    "digest": "",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files that the description lists."""
    bundle = tmp_path / "bundle"
    (bundle / "models/m").mkdir(parents=True)
    (bundle / "models/m/model.json").write_text(json.dumps(MODEL))
    (bundle / "lib").mkdir()
    (bundle / "lib/a.txt").write_text("text")
    (bundle / "lib/b.txt").symlink_to("a.txt")
    monkeypatch.setattr(places, "HERE", str(bundle))
    return bundle


def sealed(document: Any) -> bytes:
    """As JSON, with a right digest where that can be."""
    if isinstance(document, dict):
        with contextlib.suppress(ValueError, TypeError, UnicodeError, OverflowError):
            document = {**document, "digest": manifest.digest_of(document)}
    return text_of(document)


def true_of(folder: Path) -> dict[str, Any]:
    """The description with the sizes and digests that the files have."""
    files = [dict(file) for file in DOCUMENT["files"]]
    for file in files:
        if "size" in file:
            content = (folder / file["path"]).read_bytes()
            file |= {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    return {**DOCUMENT, "files": files}


def test_a_single_file_is_read_within_itself_or_refused(folder: Path, tmp_path: Path) -> None:
    (folder / "bin").mkdir()
    (folder / "bin/aotrun").write_bytes(b"a launcher")
    (folder / "bundle.json").write_bytes(sealed(true_of(folder)))
    beside = [(name, (folder / name).stat().st_size) for name in ("bundle.json", "bin/aotrun")]
    entries = frame.listed(manifest.load_bundle(folder).files, beside)
    whole = b"".join(
        part if isinstance(part, bytes) else (folder / part.path).read_bytes()
        for part in frame.segments(str(folder), entries, "x86_64")
    )
    start = single_file.INDEX_AT + single_file.HEAD_SIZE
    (tmp_path / "whole.aot").write_bytes(whole)
    file = single_file.SingleFile(str(tmp_path / "whole.aot"))
    behind = min(entry.offset for entry in file.entries.values() if entry.offset)
    index = whole[start : start + int(whole[single_file.INDEX_AT :].split()[3])]

    def make(dice: random.Random) -> bytes:
        """Damaged in front of the contents, or with lies in an index whose head is right."""
        if dice.random() < 0.3:
            damaged = mutated_bytes(dice, [whole[single_file.INDEX_AT : start + len(index)]])
            return whole[: single_file.INDEX_AT] + damaged + whole[start + len(index) :]
        lines = mutated_table(dice, index.decode())[: behind - start]
        head = b"%s%020d %020d %s\n" % (single_file.MARK, len(whole), len(lines), file.digest.encode())
        return whole[: single_file.INDEX_AT] + head + lines.ljust(behind - start, b"\0") + whole[behind:]

    def read(content: bytes) -> None:
        (tmp_path / "single.aot").write_bytes(content)
        file = single_file.SingleFile(str(tmp_path / "single.aot"))
        for path in file.entries:
            entry = file.find(path)
            if entry is not None and entry.offset is not None:
                with file.open(entry) as stream:
                    assert len(stream.read()) == entry.size
        with contextlib.suppress(AotpackError):
            check_static(tmp_path / "single.aot")

    fuzz("single_file", make, read, ValueError)


def test_a_description_is_taken_or_refused(folder: Path) -> None:
    path = folder / "bundle.json"

    def make(dice: random.Random) -> bytes:
        content = sealed(mutated_document(dice, DOCUMENT))
        return mutated_bytes(dice, [content]) if dice.random() < 0.2 else content

    def read(content: bytes) -> None:
        path.write_bytes(content)
        for examine in (
            lambda: read_bundle(str(folder), Host()),
            lambda: output_folder.check(folder, force=False),
            check._files,
            lambda: list(info._about(places.manifest(str(folder)), BRIDGE)),
        ):
            with contextlib.suppress(UsageError, AotError):
                examine()
        check_static(folder)

    fuzz("bundles", make, read, AotpackError)
