"""What a portable bundle says of itself to those who let software in: its bill of materials and its provenance."""

from __future__ import annotations

import contextlib
import json
import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aotpack import resources
from aotpack.building.request import BuildOrder
from aotpack.bundle.entries import Copy, Entry, Part, Text
from aotpack.bundle.inputs import BuildInputs
from aotpack.bundle.manifest import FileRecord
from aotpack.errors import UsageError
from aotpack.materials import provenance, sbom
from aotpack.materials.components import AOTPACK, Component, components_of, cpython
from aotpack.tools.cache import cache_home
from aotpack_doctor.base import elf, hashing
from aotpack_doctor.base.regular import SpecialFileError, read_regular
from aotpack_doctor.reading import bundle_files

#: Parts that are wholly ours.
_OURS = frozenset({Part.LAUNCHER, Part.BRIDGE, Part.RUNNER, Part.HEADERS})


@dataclass(frozen=True)
class Papers:
    """The documents, and what a person should know of them."""

    entries: tuple[Entry, ...]
    warnings: tuple[str, ...]


def papers(
    folder: Path, order: BuildOrder, inputs: BuildInputs, entries: Sequence[Entry], records: Sequence[FileRecord]
) -> Papers:
    """The documents of a staged folder.

    Raises:
        UsageError: a model card that is none.
    """
    components = _components(inputs, entries)
    listed = [record for record in records if record.part != Part.LICENSES.value]
    cards = {name: _card(path) for name, path in order.cards}
    models = {model.name: model.metadata for model in inputs.models if not model.is_variant}
    bill = sbom.bill(sbom.Materials(models, cards, listed, components, _needs(folder, listed)))
    if cards and (problem := sbom.problems(bill)):
        raise _misfit(order.cards[0][1], problem)
    recipe = resources.RECIPES / f"{order.backend}.toml"
    statement = provenance.statement(
        provenance.Origins(
            parameters=_parameters(order, inputs),
            packages=[(model.package.name, hashing.sha256_of(str(model.package))) for model in order.models],
            recipes={f"recipes/{recipe.name}": hashing.sha256_of(str(recipe))},
            torch=inputs.torch.version,
            compiler=inputs.compiler,
            components=[sbom.purl(component) for component in components.values()],
            files=records,
        )
    )
    return Papers(
        (
            Entry(sbom.NAME, Part.DESCRIPTION, "what the bundle is made of", Text(bill)),
            Entry(provenance.NAME, Part.DESCRIPTION, "how it was made", Text(statement)),
        ),
        tuple(_unlicensed(components)),
    )


def check_cards(order: BuildOrder) -> None:
    """Raise UsageError for a model card that is none, before anything takes long."""
    for name, path in order.cards:
        component = {"type": "machine-learning-model", "name": name, "modelCard": _card(path)}
        document = {"bomFormat": "CycloneDX", "specVersion": "1.6", "components": [component]}
        if problem := sbom.problems(json.dumps(document).encode()):
            raise _misfit(path, problem)


def _misfit(path: Path, problem: str) -> UsageError:
    return UsageError(
        f"{path}: {problem.splitlines()[0][:200]}",
        meaning="a model card becomes a part of the bundle's bill of materials, and so must fit CycloneDX 1.6",
        fix="see modelCard at https://cyclonedx.org/docs/1.6/json/",
    )


def _components(inputs: BuildInputs, entries: Sequence[Entry]) -> dict[str, Component]:
    """Place in the bundle -> whose the file is; models, assets and licence texts are nobody's."""
    stubs = {stub.path for stub in inputs.stubs}
    found: dict[str, Component] = {}
    others: dict[str, Path] = {}
    for entry in entries:
        source = entry.content.source if isinstance(entry.content, Copy) else None
        if entry.part in (Part.MODEL, Part.ASSETS, Part.LICENSES):
            continue
        if entry.part in _OURS or source is None or source in stubs:
            found[entry.destination] = AOTPACK
        elif entry.part is Part.PYTHON and source.is_relative_to(cache_home()):
            found[entry.destination] = cpython(inputs.python_version or "")
        else:
            others[entry.destination] = source
    owners = components_of(others.values(), inputs.torch.site_packages)
    return found | {place: owners[source] for place, source in others.items()}


def _needs(folder: Path, records: Sequence[FileRecord]) -> dict[str, list[str]]:
    """ELF file -> the files that the loader finds for it, links followed."""
    links = {record.path: record.link for record in records}
    elves = {}
    for record in records:
        with contextlib.suppress(ValueError):  # not for this loader
            found = elf.read_elf(str(folder / record.path)) if record.link is None else None
            if found is not None:
                elves[record.path] = found
    needs: dict[str, list[str]] = {path: [] for path in elves}
    for path, _, provider in bundle_files.needs(elves, links):
        if provider is not None:
            needs[path].append(_target(provider, links))
    return needs


def _target(path: str, links: Mapping[str, str | None]) -> str:
    """The file that a link of the bundle leads to; a file itself."""
    while (link := links.get(path)) is not None:
        path = posixpath.normpath(posixpath.join(posixpath.dirname(path), link))
    return path


def _parameters(order: BuildOrder, inputs: BuildInputs) -> Mapping[str, Any]:
    return {
        "backend": str(order.backend),
        "runtime": inputs.runtime,
        "python": order.python,
        "libc": order.libc,
        "archs": list(order.archs),
        "features": list(inputs.features),
        "debug": order.debug,
        "assets": [name for name, _ in order.assets],
        "metadata": dict(order.metadata),
        "models": {
            name: ", ".join(model.package.name for model in order.models if model.name == name)
            for name in dict.fromkeys(model.name for model in order.models)
        },
    }


def _card(path: Path) -> dict[str, Any]:
    try:
        card = json.loads(read_regular(str(path)))
        # What JSON cannot say, and UTF-8 cannot write, can be read all the same.
        json.dumps(card, ensure_ascii=False, allow_nan=False).encode()
    except FileNotFoundError:
        card, problem = None, "no such file"
    except SpecialFileError as error:
        card, problem = None, str(error.strerror)
    except (ValueError, RecursionError) as error:
        card, problem = None, str(error)
    else:
        problem = f"is a {type(card).__name__}"
    if not isinstance(card, dict):
        raise UsageError(
            f"{path}: {problem}",
            meaning="a model card is a JSON object with the fields of CycloneDX's modelCard",
            fix="see modelCard at https://cyclonedx.org/docs/1.6/json/",
        )
    return card


def _unlicensed(components: Mapping[str, Component]) -> list[str]:
    """A sentence for each component whose terms nobody says."""
    unknown: dict[str, str] = {}
    for place, component in sorted(components.items()):
        if component.license is None:
            unknown.setdefault(component.name, place)
    return [
        f"{place}: nothing says under which licence {name} is; find out before you pass the bundle on"
        for name, place in unknown.items()
    ]
