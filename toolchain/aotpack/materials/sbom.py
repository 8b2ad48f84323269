"""`sbom.cdx.json`: the bill of materials of a portable bundle, CycloneDX 1.6 by `cyclonedx-python-lib`.

The library writes components, licences and who needs whom. What a model takes and gives goes into a model card, which
it has no types for; its validator, by the official schema, judges the whole.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from aotpack import __version__
from aotpack.bundle.entries import Part
from aotpack.bundle.manifest import FileRecord
from aotpack.errors import DamagedError, UsageError
from aotpack.materials.components import AOTPACK, Component
from aotpack.package.metadata import ModelMetadata
from aotpack.tools.libraries import need
from aotpack_doctor.base.places import MODELS
from aotpack_doctor.base.regular import SpecialFileError, read_regular
from aotpack_doctor.reading import materials

#: Where it lies in a bundle.
NAME = materials.NAME


@dataclass(frozen=True)
class Materials:
    """What a bill follows from."""

    #: The bundle's folder's name does not count: the same content gives the same bill.
    models: Mapping[str, ModelMetadata]
    #: Model -> its own model card's fields, from whoever knows how it was trained.
    cards: Mapping[str, Mapping[str, Any]]
    #: Every file but texts and the description.
    files: Sequence[FileRecord]
    #: Path -> whose it is; files of models have no entry.
    components: Mapping[str, Component]
    #: Path of an ELF file -> paths of those that it needs.
    needs: Mapping[str, Sequence[str]]


def bill(materials: Materials) -> bytes:
    """The document. The same materials give the same bytes: it has no date, and its number follows from its content.

    Raises:
        BuildToolError: the library is not installed.
    """
    need("cyclonedx", "cyclonedx-python-lib", "a bill of materials", "cyclonedx-python-lib[json-validation]>=11")
    from cyclonedx.model.bom import Bom, BomMetaData
    from cyclonedx.model.component import Component as Entry
    from cyclonedx.model.component import ComponentType
    from cyclonedx.model.tool import ToolRepository
    from cyclonedx.output import make_outputter
    from cyclonedx.schema import OutputFormat, SchemaVersion

    root = Entry(name="bundle", type=ComponentType.APPLICATION, bom_ref="bundle")
    packages = _packages(materials)
    models = {name: _model(name, materials) for name in sorted(materials.models)}
    assets = _assets(materials)
    tool = Entry(name="aotpack", version=__version__, type=ComponentType.APPLICATION, bom_ref="tool")
    bom = Bom(
        components=[*packages.values(), *models.values(), *assets],
        metadata=BomMetaData(component=root, tools=ToolRepository(components=[tool])),
        serial_number=_number(materials),
    )
    bom.register_dependency(root, [*packages.values(), *models.values(), *assets])
    for owner, others in _needs(materials).items():
        entry = packages.get(owner) or models[owner]
        bom.register_dependency(entry, [packages.get(other) or models[other] for other in others])
    text = make_outputter(bom, OutputFormat.JSON, SchemaVersion.V1_6).output_as_string()
    document = json.loads(text)
    document["metadata"].pop("timestamp", None)
    for component in document["components"]:
        if "purl" in component:
            component["purl"] = quoted(component["purl"])
        if component["type"] == "machine-learning-model":
            component["modelCard"] = _card(component["name"], materials)
    return json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False).encode() + b"\n"


def problems(content: bytes) -> str | None:
    """Why a document is no valid CycloneDX 1.6, by the official schema; None when it is."""
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(content.decode())
    return None if error is None else str(error)


def _number(materials: Materials) -> uuid.UUID:
    content = "\n".join(f"{record.path} {record.sha256} {record.link}" for record in materials.files)
    return uuid.uuid5(uuid.NAMESPACE_URL, f"aotpack {__version__}\n{content}")


def _key(component: Component) -> str:
    return f"{component.name}@{component.version}" if component.version else component.name


def _packages(materials: Materials) -> dict[str, Any]:
    """The components that are packages, with their files inside, by key."""
    from cyclonedx.model.component import Component as Entry
    from cyclonedx.model.component import ComponentType
    from cyclonedx.model.contact import OrganizationalEntity

    owned: dict[str, list[FileRecord]] = {}
    whole: dict[str, Component] = {}
    for record in materials.files:
        component = materials.components.get(record.path)
        if component is not None:
            owned.setdefault(_key(component), []).append(record)
            whole[_key(component)] = component
    return {
        key: Entry(
            name=component.name,
            version=component.version or None,
            type=ComponentType.APPLICATION if component == AOTPACK else ComponentType.LIBRARY,
            bom_ref=key,
            supplier=OrganizationalEntity(name=component.supplier) if component.supplier else None,
            licenses=_licenses(component),
            purl=_purl(component),
            components=[_file(record) for record in owned[key] if record.link is None],
        )
        for key, component in sorted(whole.items())
    }


def _licenses(component: Component) -> list[Any]:
    from cyclonedx.model.license import DisjunctiveLicense, LicenseExpression
    from cyclonedx.spdx import is_supported_id

    if component.license is None:
        return []
    if is_supported_id(component.license):
        return [DisjunctiveLicense(id=component.license)]
    return [LicenseExpression(component.license)]


def purl(component: Component) -> str:
    """A component's package URL."""
    return quoted(str(_purl(component).to_string()))


def quoted(package_url: str) -> str:
    """A package URL without a bare `+`, which readers of URLs may take for a space; the library leaves it there."""
    return package_url.replace("+", "%2B")


def _purl(component: Component) -> Any:
    from packageurl import PackageURL

    return PackageURL(
        type=component.kind,
        namespace=component.namespace,
        name=component.name.lower() if component.kind == "pypi" else component.name,
        version=component.version or None,
        qualifiers=dict(component.qualifiers),
    )


def _file(record: FileRecord) -> Any:
    from cyclonedx.model import HashAlgorithm, HashType
    from cyclonedx.model.component import Component as Entry
    from cyclonedx.model.component import ComponentType

    hashes = [HashType(alg=HashAlgorithm.SHA_256, content=str(record.sha256))]
    return Entry(name=record.path, type=ComponentType.FILE, bom_ref=f"file:{record.path}", hashes=hashes)


def _assets(materials: Materials) -> list[Any]:
    """What whoever built the bundle gave along with the models, as one component; none when there is nothing."""
    from cyclonedx.model.component import Component as Entry
    from cyclonedx.model.component import ComponentType

    files = [_file(record) for record in materials.files if record.part == Part.ASSETS and record.link is None]
    return [Entry(name="assets", type=ComponentType.DATA, bom_ref="assets", components=files)] if files else []


def _model(name: str, materials: Materials) -> Any:
    from cyclonedx.model import Property
    from cyclonedx.model.component import Component as Entry
    from cyclonedx.model.component import ComponentType

    metadata = materials.models[name]
    facts = {
        "aotpack:device": metadata.device,
        "aotpack:cpu-features": " ".join(metadata.cpu_features),
        "aotpack:gpu-archs": " ".join(metadata.gpu_archs),
        "aotpack:precision": " ".join(sorted({spec.dtype for spec in (*metadata.inputs, *metadata.outputs)})),
        "aotpack:torch": metadata.torch_version or "",
        "aotpack:compiler": metadata.compiler or "",
    }
    return Entry(
        name=name,
        type=ComponentType.MACHINE_LEARNING_MODEL,
        bom_ref=f"model:{name}",
        properties=[Property(name=key, value=value) for key, value in facts.items() if value],
        components=[_file(record) for record in _files_of(name, materials) if record.link is None],
    )


def _files_of(model: str, materials: Materials) -> Iterable[FileRecord]:
    return (record for record in materials.files if record.path.startswith(f"{MODELS}/{model}/"))


def _needs(materials: Materials) -> dict[str, list[str]]:
    """Component -> components whose files its own need, by key."""

    def owner(path: str) -> str | None:
        if path.startswith(f"{MODELS}/"):
            return path.split("/")[1]
        component = materials.components.get(path)
        return None if component is None else _key(component)

    found: dict[str, set[str]] = {}
    for path, others in materials.needs.items():
        key = owner(path)
        if key is not None:
            found.setdefault(key, set()).update(filter(None, map(owner, others)))
    return {key: sorted(others - {key}) for key, others in sorted(found.items()) if others - {key}}


def _card(name: str, materials: Materials) -> dict[str, Any]:
    """What CycloneDX calls a model card: inputs and outputs are known here, the training is not."""
    metadata = materials.models[name]
    given = dict(materials.cards.get(name, {}))
    parameters = given.pop("modelParameters", {})
    if not isinstance(parameters, dict):
        return {**given, "modelParameters": parameters}  # as it was given, for the schema to refuse
    inputs = [{"format": spec.words} for spec in metadata.inputs]
    outputs = [{"format": spec.words} for spec in metadata.outputs]
    return {**given, "modelParameters": {**parameters, "inputs": inputs, "outputs": outputs}}


class _License(msgspec.Struct):
    id: str = ""
    name: str = ""


class _Choice(msgspec.Struct):
    expression: str = ""
    license: _License = msgspec.field(default_factory=_License)


class _Supplier(msgspec.Struct):
    name: str = ""


class _Entry(msgspec.Struct):
    name: str
    type: str
    version: str = ""
    supplier: _Supplier = msgspec.field(default_factory=_Supplier)
    licenses: list[_Choice] = []
    components: list[Any] = []


class _Document(msgspec.Struct):
    """What of a document is read here; anybody may have written it."""

    components: list[_Entry] = []


def read(folder: Path) -> dict[str, Any]:
    """The document of a bundle, as it lies there.

    Raises:
        UsageError: there is none.
        DamagedError: it is none.
    """
    path = folder / NAME
    try:
        document = json.loads(read_regular(str(path), follow=False))
    except (FileNotFoundError, NotADirectoryError):
        raise UsageError(
            f"{folder}: has no {NAME}",
            meaning="a portable bundle has its bill of materials there; nothing else has one",
            fix="build the bundle again with --portable",
        ) from None
    except SpecialFileError as error:
        raise damaged(path, str(error.strerror)) from error
    except (ValueError, RecursionError) as error:
        raise damaged(path, str(error)) from error
    if not isinstance(document, dict) or document.get("bomFormat") != "CycloneDX":
        raise damaged(path, "not a CycloneDX document")
    try:
        msgspec.convert(document, _Document)
    except msgspec.ValidationError as error:
        raise damaged(path, str(error)) from error
    return document


def damaged(path: Path, what: str) -> DamagedError:
    """An error of a document that is not as it was written."""
    return DamagedError(
        f"{path}: {what}",
        meaning="the bill of materials was changed or cut off",
        fix=f"aotpack verify {path.parent} says what else is wrong; copy the bundle again",
    )


def licenses_of(document: Mapping[str, Any]) -> str:
    """All licences of a document's components as one SPDX expression, each once."""
    found: set[str] = set()
    for component in document.get("components", []):
        for choice in component.get("licenses", []):
            text = choice.get("expression") or choice.get("license", {}).get("id", "")
            found.add(f"({text})" if " OR " in text else text)
    return " AND ".join(sorted(filter(None, found)))
