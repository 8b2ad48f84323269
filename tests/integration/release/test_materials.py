"""The bill of materials and the provenance of real bundles."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aotpack.bundle import manifest
from aotpack.errors import DamagedError, UsageError
from aotpack.materials import provenance, sbom
from aotpack.materials.components import Component, components_of, spdx
from aotpack.materials.spdx import bill as bill_as_spdx
from aotpack.package.metadata import ModelMetadata
from aotpack.release.dates import release_date
from aotpack_doctor.base import hashing
from aotpack_doctor.reading.materials import unlicensed
from tests.support.packages.exporting import ROOT


def packages(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {entry["name"]: entry for entry in document["components"]}


@pytest.mark.parametrize("bundle", ["small", "portable"])
def test_every_file_is_somebodys(bundle: str, request: pytest.FixtureRequest) -> None:
    """Valid by CycloneDX's own schema, complete, and with a licence for each."""
    folder: Path = request.getfixturevalue(bundle)
    content = (folder / sbom.NAME).read_bytes()
    assert sbom.problems(content) is None
    document = json.loads(content)
    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.6")
    assert "timestamp" not in document["metadata"]
    listed = {
        file["name"]: file["hashes"][0]["content"] for entry in document["components"] for file in entry["components"]
    }
    sealed = {
        record.path: record.sha256
        for record in manifest.load_bundle(folder).files
        if record.link is None and record.part not in ("licenses", "description")
    }
    assert listed == sealed
    assert sum(len(entry["components"]) for entry in document["components"]) == len(listed)
    assert unlicensed(str(folder)) == ()
    found = packages(document)
    assert found["aotpack"]["purl"].startswith("pkg:pypi/aotpack@")
    assert found["cpython"]["licenses"] == [{"license": {"id": "PSF-2.0"}}]
    for entry in found.values():
        assert entry["type"] in ("machine-learning-model", "data") or entry["supplier"]["name"]
    model = found["mlp"]
    assert model["modelCard"]["modelParameters"]["inputs"] == [{"format": "x: float32[batch=1..1024, 64]"}]
    needs = {line["ref"]: line.get("dependsOn", []) for line in document["dependencies"]}
    names = {entry["bom-ref"]: entry["name"] for entry in document["components"]}
    needed = {names[ref] for ref in needs["model:mlp"]}
    if bundle == "small":
        assert "aotpack" in needed  # the slim runtime
        assert "torch" not in found
    else:
        assert "torch" in needed
        assert found["torch"]["purl"].startswith("pkg:pypi/torch@2.")
        assert "BSD-3-Clause" in found["torch"]["licenses"][0]["expression"]
        grafted = [file["name"] for file in found["gcc-runtime"]["components"]]
        assert any("libgomp" in name for name in grafted)


@pytest.mark.parametrize("bundle", ["small", "portable"])
def test_the_same_as_spdx(bundle: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """Valid by the SPDX group's own library, with every package, file and hash of the CycloneDX document."""
    from spdx_tools.spdx.parser.parse_anything import parse_file
    from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

    folder: Path = request.getfixturevalue(bundle)
    command = [sys.executable, "-m", "aotpack", "inspect", folder, "--sbom", "--format", "spdx"]
    texts = [subprocess.run(command, capture_output=True, text=True, check=True).stdout for _ in range(2)]
    assert texts[0] == texts[1]
    (tmp_path / "sbom.spdx.json").write_text(texts[0])
    document = parse_file(str(tmp_path / "sbom.spdx.json"))
    assert validate_full_spdx_document(document) == []
    entries = sbom.read(folder)["components"]
    files = {file["name"]: file["hashes"][0]["content"] for entry in entries for file in entry["components"]}
    assert {one.name: one.checksums[0].value for one in document.packages if one.checksums} == files
    named = {one.name: one for one in document.packages if not one.checksums}
    assert set(named) == {"bundle", *(entry["name"] for entry in entries)}
    assert str(named["cpython"].license_declared) == "PSF-2.0"
    assert named["aotpack"].external_references[0].locator.startswith("pkg:pypi/aotpack@")
    needs = [one for one in document.relationships if one.relationship_type.name == "DEPENDS_ON"]
    assert len(needs) == sum(len(line.get("dependsOn", [])) for line in sbom.read(folder)["dependencies"])


def test_what_cannot_be_said_in_spdx(small: Path, tmp_path: Path) -> None:
    document = sbom.read(small)
    for change in (
        {"serialNumber": "none"},
        {"dependencies": [{"ref": "bundle", "dependsOn": ["nobody"]}]},
        {"components": [{"name": "a", "type": "library", "bom-ref": "a", "licenses": [{"expression": "MIT AND"}]}]},
    ):
        (tmp_path / sbom.NAME).write_text(json.dumps({**document, **change}))
        with pytest.raises(DamagedError, match="cannot be said in SPDX"):
            bill_as_spdx(tmp_path, release_date())


def test_a_provenance_names_what_went_in_and_nobody(small: Path, exported: Callable[..., Path]) -> None:
    content = (small / provenance.NAME).read_bytes()
    document = json.loads(content)
    assert document["_type"] == "https://in-toto.io/Statement/v1"
    assert document["predicateType"] == "https://slsa.dev/provenance/v1"
    subjects = {subject["name"]: subject["digest"]["sha256"] for subject in document["subject"]}
    files = [record for record in manifest.load_bundle(small).files if record.link is None]
    assert subjects == {record.path: record.sha256 for record in files if record.part != "description"}
    definition = document["predicate"]["buildDefinition"]
    assert definition["externalParameters"]["models"] == {"mlp": "mlp.pt2"}
    inputs = {one["name"]: one for one in definition["resolvedDependencies"] if "name" in one}
    assert inputs["mlp.pt2"]["digest"] == {"sha256": hashing.sha256_of(str(exported("mlp")))}
    assert inputs["torch"]["uri"].startswith("pkg:pypi/torch@2.")
    assert inputs["recipes/cpu.toml"]["digest"] == {"sha256": hashing.sha256_of(str(ROOT / "recipes" / "cpu.toml"))}
    for one in definition["resolvedDependencies"]:
        assert {"uri", "digest"} & one.keys()
    for name in (str(ROOT), os.uname().nodename, str(Path.home()) + "/"):
        assert name.encode() not in content + (small / sbom.NAME).read_bytes()


def wheel(folder: Path, name: str, version: str, metadata: str, *files: str) -> list[Path]:
    """An installed wheel as pip leaves it."""
    info = folder / f"{name}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{metadata}\n")
    (info / "RECORD").write_text("".join(f"{file},,\n" for file in files))
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(name)
    return [folder / file for file in files]


def test_whose_a_file_is(tmp_path: Path) -> None:
    """Of a wheel, grafted into torch's, of the distribution, or of nobody."""
    own, grafted = wheel(
        tmp_path,
        "torch",
        "9.9+cpu",
        "Author-email: PyTorch Team <x@y.z>\nLicense-Expression: BSD-3-Clause",
        "torch/lib/libtorch_cpu.so",
        "torch/lib/libgomp-0123abcd.so.1",
    )
    (vendors,) = wheel(
        tmp_path,
        "nvidia-cublas-cu12",
        "12.4",
        "Author: Nvidia CUDA Installer Team\nLicense: NVIDIA Proprietary Software",
        "nvidia/cublas/lib/libcublas.so.12",
    )
    (unclear,) = wheel(tmp_path, "mystery", "1", "License: see the web page", "mystery/libmystery-1.so.2")
    stray = tmp_path / "elsewhere" / "libstray.so.3"
    stray.parent.mkdir()
    stray.write_text("stray")
    found = components_of([own, grafted, vendors, unclear, stray], tmp_path)
    assert found[own] == Component("torch", "9.9+cpu", "PyTorch Team", "BSD-3-Clause", "pypi")
    assert found[grafted] == Component(
        "gcc-runtime", "", "GNU Project", "GPL-3.0-or-later WITH GCC-exception-3.1", "generic"
    )
    assert found[vendors] == Component(
        "nvidia-cublas-cu12", "12.4", "Nvidia CUDA Installer Team", "LicenseRef-NVIDIA-Software-License", "pypi"
    )
    assert found[unclear] == Component("mystery", "1", "", None, "pypi")
    assert found[stray] == Component("libstray", "", "", None, "generic")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("MIT", "MIT"),
        ("Apache v2.0", "Apache-2.0"),
        ("Apache-2.0 WITH LLVM-exception AND MIT", "Apache-2.0 WITH LLVM-exception AND MIT"),
        ("LicenseRef-NVIDIA-Proprietary", "LicenseRef-NVIDIA-Proprietary"),
        ("MIT AND Whatever", None),
        ("BSD", None),
        ("MIT AND", None),
        ("", None),
        ("Permission is hereby granted\nto anyone", None),
    ],
)
def test_what_is_an_spdx_expression(text: str, expected: str | None) -> None:
    assert spdx(text) == expected


def test_every_row_of_the_table_is_an_spdx_expression() -> None:
    from aotpack.materials.components import _table

    rows = _table()
    assert [row.license for row in rows] == [spdx(row.license) for row in rows]
    assert len({row.name for row in rows}) == len(rows)


def test_a_model_card_joins_what_is_known() -> None:
    models = {"mlp": ModelMetadata()}
    card = {"modelParameters": {"task": "classification"}, "considerations": {"users": ["anyone"]}}
    content = sbom.bill(sbom.Materials(models, {"mlp": card}, [], {}, {}))
    assert sbom.problems(content) is None
    assert packages(json.loads(content))["mlp"]["modelCard"] == {
        "modelParameters": {"task": "classification", "inputs": [], "outputs": []},
        "considerations": {"users": ["anyone"]},
    }
    wrong = sbom.bill(sbom.Materials(models, {"mlp": {"modelParameters": {"task": 7}}}, [], {}, {}))
    assert sbom.problems(wrong) is not None


def test_a_component_without_a_licence_is_told_of(tmp_path: Path) -> None:
    record = manifest.FileRecord(path="lib/libx.so", part="runtime", reason="r", size=1, sha256="0" * 64)
    content = sbom.bill(sbom.Materials({}, {}, [record], {"lib/libx.so": Component("libx")}, {}))
    assert sbom.problems(content) is None
    (tmp_path / sbom.NAME).write_bytes(content)
    assert unlicensed(str(tmp_path)) == ("libx",)
    assert packages(sbom.read(tmp_path)).keys() == {"libx"}


@pytest.mark.parametrize("content", ["", "[]", '{"bomFormat": "SPDX"}', "{"])
def test_what_is_no_bill_of_materials(content: str, tmp_path: Path) -> None:
    (tmp_path / sbom.NAME).write_text(content)
    with pytest.raises(DamagedError, match=sbom.NAME):
        sbom.read(tmp_path)
    assert unlicensed(str(tmp_path)) == ()
    (tmp_path / sbom.NAME).unlink()
    with pytest.raises(UsageError, match="has no"):
        sbom.read(tmp_path)
    os.mkfifo(tmp_path / sbom.NAME)
    with pytest.raises(DamagedError, match=r"FIFO|pipe"):
        sbom.read(tmp_path)
    assert unlicensed(str(tmp_path)) == ()
