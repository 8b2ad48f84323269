"""bundle.json: sealing, reading and refusing."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import jsonschema
import msgspec
import pytest

from aotpack import resources
from aotpack.backend import Backend
from aotpack.bundle import manifest
from aotpack.bundle.manifest import BuildHost, Bundle, BundleFloors, FileRecord, Torch
from aotpack.errors import DamagedError
from aotpack.package.metadata import DynamicDim, ModelMetadata, TensorSpec


def bundle() -> Bundle:
    model = ModelMetadata(
        inputs=(TensorSpec("x", "float32", (DynamicDim("b", 1, 1024), 64)),),
        outputs=(TensorSpec("output0", "float32", (DynamicDim("b", 1, 1024), None)),),
    )
    return Bundle(
        aotpack="0.1.0",
        backend=Backend.CPU,
        runtime="full",
        portable=True,
        libc="bundled",
        python="bundled",
        torch=Torch("2.13.0+cpu", Backend.CPU),
        built_on=BuildHost(system="Debian", machine="x86_64", glibc="2.36", compiler="g++ 12", python="3.11.2"),
        floors=BundleFloors(cpu_features=("avx2",)),
        models={"mlp": model},
        files=(
            FileRecord(path="bin/aotrun", part="launcher", reason="r", size=10, sha256="a" * 64, executable=True),
            FileRecord(path="lib/libx.so", part="runtime", reason="r", size=32, sha256="b" * 64),
            FileRecord(path="lib/liby.so", part="runtime", reason="r", link="libx.so"),
        ),
    )


def test_what_is_written_is_read_back() -> None:
    content = manifest.encode(bundle())
    assert msgspec.structs.replace(manifest.decode(content, "b"), digest="") == bundle()


def test_the_same_bundle_gives_the_same_bytes() -> None:
    assert manifest.encode(bundle()) == manifest.encode(bundle())


def test_the_document_follows_the_schema_that_ships() -> None:
    schema = json.loads((resources.SCHEMAS / "bundle.schema.json").read_text())
    jsonschema.validate(json.loads(manifest.encode(bundle())), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"schema": 1}, schema)


def test_the_schema_that_ships_is_the_types() -> None:
    path: Path = resources.SCHEMAS / "bundle.schema.json"
    assert path.read_bytes() == manifest.json_schema(), "regenerate it with: make schemas"


def test_a_changed_field_is_noticed() -> None:
    content = manifest.encode(bundle()).replace(b'"avx2"', b'"sse2"')
    with pytest.raises(DamagedError, match="digest"):
        manifest.decode(content, "bundle.json")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"schema": 1}', b"\xff\xfe", b'{"schema": "one"}'])
def test_what_is_no_description_is_refused(content: bytes) -> None:
    with pytest.raises(DamagedError) as refused:
        manifest.decode(content, "bundle.json")
    assert refused.value.exit_code == 6


def test_a_newer_schema_asks_for_a_newer_aotpack() -> None:
    newer = manifest.encode(msgspec.structs.replace(bundle(), schema=manifest.SCHEMA + 1))
    with pytest.raises(DamagedError, match="schema 2"):
        manifest.decode(newer, "bundle.json")


def test_a_newer_schema_is_told_even_when_nothing_else_fits() -> None:
    with pytest.raises(DamagedError, match="schema 2"):
        manifest.decode(b'{"schema": 2, "files": {"new": "shape"}}', "bundle.json")


def test_a_field_that_a_later_aotpack_added_is_no_damage() -> None:
    document = {**json.loads(manifest.encode(bundle())), "later": {"b": 1, "a": [2]}}
    document["digest"] = manifest.digest_of(document)
    assert manifest.decode(json.dumps(document).encode(), "bundle.json").aotpack == "0.1.0"


def test_the_digest_is_that_of_the_documented_form() -> None:
    document = json.loads(manifest.encode(bundle()))
    sealed = document["digest"]
    canonical = json.dumps({**document, "digest": ""}, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert sealed == hashlib.sha256(canonical.encode()).hexdigest()


def test_sizes_by_part_largest_first() -> None:
    assert list(bundle().sizes().items()) == [("runtime", 32), ("launcher", 10)]


def test_fields_of_a_later_version_are_no_damage() -> None:
    """Also within files and models: fields may be added without a new schema."""
    document = json.loads(manifest.encode(bundle()))
    document["files"][0]["later"] = document["models"]["mlp"]["inputs"][0]["later"] = 1
    assert msgspec.json.decode(json.dumps(document).encode(), type=Bundle).files[0].path == "bin/aotrun"
