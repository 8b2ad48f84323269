"""The bill of materials as SPDX 2.3, by `spdx-tools`, which judges it as well.

A file is a package of the purpose FILE there: SPDX's own files want a SHA-1, which nobody needs. What SPDX has no place
for stays in `sbom.cdx.json`: inputs and outputs of models, model cards.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from aotpack import __version__
from aotpack.materials import sbom
from aotpack.tools.libraries import need

_PURPOSE = "a bill of materials as SPDX"
#: CycloneDX's type of a component -> SPDX's purpose of a package; OTHER for the rest.
_PURPOSES = {"application": "APPLICATION", "library": "LIBRARY", "file": "FILE"}
_ROOT = "SPDXRef-bundle"


def bill(folder: Path, date: datetime) -> dict[str, Any]:
    """A bundle's bill of materials as the document of SPDX 2.3 in JSON. The same bundle and date give the same.

    Args:
        folder: the bundle, a folder or a single file.
        date: of the document, in UTC.

    Raises:
        BuildToolError: the library is not installed.
        UsageError: the bundle has no bill.
        DamagedError: it has been changed.
    """
    model, writer, licensing = (
        need(f"spdx_tools.{part}", "spdx-tools", _PURPOSE)
        for part in ("spdx.model", "spdx.writer.json.json_writer", "common.spdx_licensing")
    )
    document = sbom.read(folder)
    text = io.StringIO()
    try:
        writer.write_document_to_stream(_converted(model, licensing.spdx_licensing, document, date), text)
    except Exception as error:  # what the library says of a document that is none, in a dozen kinds
        reason = " ".join(str(error).split())[:200]
        raise sbom.damaged(folder / sbom.NAME, f"cannot be said in SPDX: {reason}") from error
    written: dict[str, Any] = json.loads(text.getvalue())
    return written


def _converted(model: Any, licensing: Any, document: Mapping[str, Any], date: datetime) -> Any:
    components = document.get("components", [])
    numbers: dict[str, str] = {"bundle": _ROOT}
    for component in components:
        numbers[component["bom-ref"]] = f"SPDXRef-{len(numbers)}"
    packages = [_package(model, licensing, component, numbers[component["bom-ref"]]) for component in components]
    packages.insert(0, _package(model, licensing, {"name": "bundle", "type": "application"}, _ROOT))
    kind = model.RelationshipType
    relations = [model.Relationship("SPDXRef-DOCUMENT", kind.DESCRIBES, _ROOT)]
    for owner, needed in _needs(document):
        relations.append(model.Relationship(numbers[owner], kind.DEPENDS_ON, numbers[needed]))
    for component in components:
        owner = numbers[component["bom-ref"]]
        for number, file in enumerate(component.get("components", [])):
            packages.append(_package(model, licensing, file, f"{owner}-{number}"))
            relations.append(model.Relationship(owner, kind.CONTAINS, f"{owner}-{number}"))
    tool = model.Actor(model.ActorType.TOOL, f"aotpack-{__version__}")
    about = model.CreationInfo(
        "SPDX-2.3", "SPDXRef-DOCUMENT", "bundle", document["serialNumber"], [tool], date.replace(tzinfo=None)
    )
    return model.Document(
        about, packages, relationships=relations, extracted_licensing_info=list(_own_terms(model, packages))
    )


def _needs(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for line in document.get("dependencies", []):
        for needed in line.get("dependsOn", []):
            yield line["ref"], needed


def _package(model: Any, licensing: Any, component: Mapping[str, Any], number: str) -> Any:
    unknown = model.SpdxNoAssertion()
    terms = sbom.licenses_of({"components": [component]})
    supplier = component.get("supplier", {}).get("name")
    references = []
    if "purl" in component:
        category = model.ExternalPackageRefCategory.PACKAGE_MANAGER
        references.append(model.ExternalPackageRef(category, "purl", component["purl"]))
    return model.Package(
        number,
        component["name"],
        unknown,
        version=component.get("version"),
        supplier=model.Actor(model.ActorType.ORGANIZATION, supplier) if supplier else unknown,
        files_analyzed=False,
        checksums=[
            model.Checksum(model.ChecksumAlgorithm.SHA256, one["content"]) for one in component.get("hashes", [])
        ],
        license_concluded=unknown,
        license_declared=licensing.parse(terms) if terms else unknown,
        copyright_text=unknown,
        external_references=references,
        primary_package_purpose=model.PackagePurpose[_PURPOSES.get(component["type"], "OTHER")],
    )


def _own_terms(model: Any, packages: Iterable[Any]) -> Iterator[Any]:
    """Licences that SPDX's list does not have, which a document must explain."""
    declared = [package.license_declared for package in packages if package.license_declared != model.SpdxNoAssertion()]
    for name in sorted({key for terms in declared for key in map(str, terms.symbols) if key.startswith("LicenseRef-")}):
        yield model.ExtractedLicensingInfo(name, "Its text lies in licenses/ of the bundle.")
