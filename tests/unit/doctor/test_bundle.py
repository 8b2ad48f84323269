"""The doctor before a bundle whose description is damaged: what it is there for, so it must not fall over it."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest

from aotpack_doctor.facts import Host, HostFacts
from aotpack_doctor.findings.catalog import examine
from aotpack_doctor.findings.finding import exit_code
from aotpack_doctor.reading import bundle
from aotpack_doctor.reading.bundle import compare_contents, read_bundle
from aotpack_doctor.reading.models import custom

DOCUMENT = {
    "schema": 1,
    "backend": "cpu",
    "runtime": "slim",
    "portable": True,
    "libc": "bundled",
    "torch": {"version": "2.13.0"},
    "built_on": {"machine": "x86_64"},
    "floors": {},
    "files": [{"path": "lib/a.so", "part": "runtime", "size": 1, "sha256": "0" * 64}],
    "models": {"mlp": {}},
    "digest": "not that of this document",
}


@pytest.mark.parametrize("key", [key for key in DOCUMENT if key not in ("schema", "digest")])
@pytest.mark.parametrize("value", [None, 1, "text", ["text"], {"key": 1}])
def test_a_description_of_another_shape_is_a_finding(key: str, value: object, tmp_path: Path) -> None:
    (tmp_path / "bundle.json").write_text(json.dumps({**DOCUMENT, key: value}))
    found = read(tmp_path)
    assert exit_code(examine(found)) == 6


@pytest.mark.parametrize("key", DOCUMENT)
def test_a_description_without_one_of_its_parts_is_a_finding(key: str, tmp_path: Path) -> None:
    (tmp_path / "bundle.json").write_text(json.dumps({name: part for name, part in DOCUMENT.items() if name != key}))
    found = read(tmp_path)
    assert exit_code(examine(found)) == 6


def read(folder: Path) -> HostFacts:
    bundle, models = read_bundle(str(folder), Host())
    return HostFacts(host=Host(), bundle=compare_contents(bundle, lambda _done: None), models=models)


def test_the_largest_files_are_announced_to_the_kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "_ANNOUNCED", 1000)
    (tmp_path / "lib").mkdir()
    for name, size in {"lib/large": 700, "lib/middle": 600, "small": 500, "lib/empty": 0}.items():
        (tmp_path / name).write_bytes(bytes(size))
    (tmp_path / "link").symlink_to("lib/large")
    os.mkfifo(tmp_path / "pipe")  # to open it would wait for a writer
    seen: list[tuple[str, int, int, int]] = []

    def fadvise(descriptor: int, start: int, size: int, advice: int) -> None:
        seen.append((str(Path(f"/proc/self/fd/{descriptor}").readlink().relative_to(tmp_path)), start, size, advice))

    monkeypatch.setattr(os, "posix_fadvise", fadvise)
    bundle.announce_contents(str(tmp_path))
    assert seen == [
        ("lib/large", 0, 700, os.POSIX_FADV_WILLNEED),
        ("lib/middle", 0, 300, os.POSIX_FADV_WILLNEED),
    ]


def test_what_cannot_be_announced_does_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(b"x")

    def fadvise(*_arguments: int) -> None:
        raise OSError(errno.EINVAL, "a file system without it")

    monkeypatch.setattr(os, "posix_fadvise", fadvise)
    bundle.announce_contents(str(tmp_path))
    bundle.announce_contents(str(tmp_path / "nothing"))


@pytest.mark.parametrize(
    ("op", "is_custom"),
    [
        ("aten::sort", False),
        ("torch.ops.aten.sort.default", False),
        ("mkl::_mkl_linear", False),
        ("torch.ops.mkldnn._linear_pointwise.default", False),
        ("quantized::add", False),
        ("torchvision::nms", True),
        ("torch.ops.mine.op.default", True),
        ("attention::aten", True),
    ],
)
def test_which_operators_come_with_torch(op: str, is_custom: bool) -> None:
    assert custom((op,)) == ((op,) if is_custom else ())
