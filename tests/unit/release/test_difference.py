"""What `aotpack diff` tells of two descriptions."""

from __future__ import annotations

import msgspec

from aotpack.backend import Backend
from aotpack.bundle.manifest import BuildHost, Bundle, BundleFloors, FileRecord, Torch
from aotpack.package.metadata import ModelMetadata
from aotpack.release.difference import Change, Component, compare, components_of

OLD = Bundle(
    aotpack="0.1.0",
    backend=Backend.CPU,
    runtime="full",
    portable=True,
    libc="bundled",
    python="bundled",
    torch=Torch("2.12.0", Backend.CPU),
    built_on=BuildHost(system="Debian 12", machine="x86_64", glibc="2.36", compiler="g++ 12", python="3.11"),
    floors=BundleFloors(kernel="3.2.0", cpu_features=("avx2",)),
    models={"a": ModelMetadata(), "b": ModelMetadata()},
    files=(
        FileRecord(path="lib/x.so", part="runtime", reason="r", size=10, sha256="0" * 64),
        FileRecord(path="lib/old.so", part="runtime", reason="r", size=5, sha256="1" * 64),
    ),
)
NEW = msgspec.structs.replace(
    OLD,
    runtime="slim",
    torch=Torch("2.13.0", Backend.CPU),
    floors=BundleFloors(kernel="3.2.0", cpu_features=("avx2", "fma")),
    models={"a": ModelMetadata(frozen=True), "c": ModelMetadata()},
    files=(
        FileRecord(path="lib/x.so", part="runtime", reason="another", size=12, sha256="2" * 64),
        FileRecord(path="lib/new.so", part="data", reason="r", link="x.so"),
    ),
)


def test_a_bundle_does_not_differ_from_itself() -> None:
    found = compare(OLD, OLD, {}, {})
    assert found.is_empty
    assert found.sizes == {"runtime": (15, 15)}


def test_everything_that_changed_is_told_once() -> None:
    before = {"zlib": Component("1.2", ("Zlib",)), "gone": Component("1", ("MIT",))}
    after = {"zlib": Component("1.3", ("Zlib", "MIT")), "new": Component("2", ("MIT",))}
    found = compare(OLD, NEW, before, after)
    assert sorted(found.changes, key=repr) == sorted(
        [
            Change("bundle", "runtime", "full", "slim"),
            Change("bundle", "torch", "2.12.0", "2.13.0"),
            Change("floor", "cpu features", ("avx2",), ("avx2", "fma")),
            Change("model", "a: frozen", False, True),
            Change("model", "b", "there", None),
            Change("model", "c", None, "there"),
            Change("component", "zlib", "1.2", "1.3"),
            Change("component", "gone", "1", None),
            Change("component", "new", None, "2"),
            Change("licence", "zlib", "Zlib", "Zlib AND MIT"),
            Change(
                "file",
                "lib/x.so",
                {"size": 10, "sha256": "0" * 64, "executable": False},
                {"size": 12, "sha256": "2" * 64, "executable": False},
            ),
            Change("file", "lib/old.so", {"size": 5, "sha256": "1" * 64, "executable": False}, None),
            Change("file", "lib/new.so", None, {"link": "x.so"}),
        ],
        key=repr,
    )
    assert found.sizes == {"runtime": (15, 12), "data": (0, 0)}


def test_components_of_a_bill_of_materials() -> None:
    document = {
        "components": [
            {"type": "library", "name": "zlib", "version": "1.3", "licenses": [{"license": {"id": "Zlib"}}]},
            {"type": "library", "name": "gcc", "licenses": [{"expression": "GPL-3.0-or-later WITH x"}]},
            {"type": "library", "name": "unknown"},
            {"type": "machine-learning-model", "name": "mlp"},
        ]
    }
    assert components_of(document) == {
        "zlib": Component("1.3", ("Zlib",)),
        "gcc": Component("", ("GPL-3.0-or-later WITH x",)),
        "unknown": Component("", ()),
    }


def test_two_versions_of_one_component_are_both_told() -> None:
    def document(*versions: str) -> dict[str, object]:
        return {"components": [{"name": "zlib", "type": "library", "version": version} for version in versions]}

    both, one = components_of(document("1.2", "1.3")), components_of(document("1.3"))
    assert both == {"zlib 1.2": Component("1.2", ()), "zlib 1.3": Component("1.3", ())}
    changes = {(change.name, change.before, change.after) for change in compare(OLD, OLD, both, one).changes}
    assert ("zlib 1.2", "1.2", None) in changes
