"""The doctor before a bundle whose description is damaged: what it is there for, so it must not fall over it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from aotpack_doctor.bundle_facts import compare_contents, read_bundle
from aotpack_doctor.facts import Host, HostFacts
from aotpack_doctor.finding import exit_code
from aotpack_doctor.runner import examine

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
