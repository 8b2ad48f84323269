"""The provenance statement, on facts made by hand."""

from __future__ import annotations

import json
from dataclasses import replace

from aotpack.bundle.manifest import FileRecord
from aotpack.materials.provenance import Origins, statement

ORIGINS = Origins(
    parameters={"runtime": "slim", "backend": "cpu"},
    packages=(("b.pt2", "b" * 64), ("a.pt2", "e" * 64), ("a.pt2", "a" * 64)),
    recipes={"recipes/cpu.toml": "c" * 64},
    torch="2.13.0+cpu",
    compiler="g++ 12.2.0",
    components=("pkg:deb/debian/zlib1g@1.2", "pkg:generic/cpython@3.11", "pkg:deb/debian/zlib1g@1.2"),
    files=(
        FileRecord(path="lib/x.so", part="runtime", reason="r", size=1, sha256="d" * 64),
        FileRecord(path="lib/link.so", part="runtime", reason="r", link="x.so"),
    ),
)


def test_what_went_in_by_digest() -> None:
    document = json.loads(statement(ORIGINS))
    assert document["subject"] == [{"name": "lib/x.so", "digest": {"sha256": "d" * 64}}]
    definition = document["predicate"]["buildDefinition"]
    assert definition["internalParameters"] == {"compiler": "g++ 12.2.0"}
    assert definition["resolvedDependencies"] == [
        {"name": "a.pt2", "digest": {"sha256": "a" * 64}},
        {"name": "a.pt2", "digest": {"sha256": "e" * 64}},
        {"name": "b.pt2", "digest": {"sha256": "b" * 64}},
        {"name": "recipes/cpu.toml", "digest": {"sha256": "c" * 64}},
        {"name": "torch", "uri": "pkg:pypi/torch@2.13.0+cpu"},
        {"uri": "pkg:deb/debian/zlib1g@1.2"},
        {"uri": "pkg:generic/cpython@3.11"},
    ]


def test_the_order_of_what_is_asked_changes_nothing() -> None:
    turned = replace(
        ORIGINS, parameters=dict(reversed(ORIGINS.parameters.items())), components=ORIGINS.components[::-1]
    )
    assert statement(turned) == statement(ORIGINS)
