"""What changed between two bundles: models, libraries, versions, licences, sizes. Pure, on their descriptions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from aotpack.bundle.manifest import Bundle, FileRecord


class Change(msgspec.Struct, frozen=True):
    """One thing that is not the same."""

    #: bundle, floor, model, component, licence or file.
    kind: str
    #: Which: a field, a model, a component's name, a path.
    name: str
    #: In the first and in the second bundle; None where it is not there.
    before: Any
    after: Any


class Difference(msgspec.Struct, frozen=True):
    """All that is not the same, and the sizes by part."""

    changes: tuple[Change, ...]
    #: Part -> bytes in the first and in the second bundle.
    sizes: dict[str, tuple[int, int]]

    @property
    def is_empty(self) -> bool:
        """Whether the bundles are the same, byte for byte."""
        return not self.changes


class Component(msgspec.Struct, frozen=True):
    """What the two bills of materials are compared by."""

    version: str
    licenses: tuple[str, ...]


#: Of the description: what is told one by one.
_FIELDS = ("aotpack", "backend", "runtime", "portable", "libc", "python", "gpu_archs", "features", "host_libraries")


def compare(
    before: Bundle,
    after: Bundle,
    components_before: Mapping[str, Component],
    components_after: Mapping[str, Component],
) -> Difference:
    """Hold two bundles against each other.

    Args:
        before, after: their descriptions.
        components_before, components_after: what their bills of materials list, by name; empty where there is none.
    """
    changes: list[Change] = []
    changes += _fields("bundle", _document(before, _FIELDS), _document(after, _FIELDS))
    changes += _fields("bundle", {"torch": before.torch.version}, {"torch": after.torch.version})
    changes += _fields("bundle", _plain(before.built_on, "built on "), _plain(after.built_on, "built on "))
    changes += _fields("floor", _plain(before.floors), _plain(after.floors))
    changes += _models(before, after)
    changes += _components(components_before, components_after)
    changes += _files(before.files, after.files)
    parts = sorted({*before.sizes(), *after.sizes()})
    sizes = {part: (before.sizes().get(part, 0), after.sizes().get(part, 0)) for part in parts}
    return Difference(tuple(changes), sizes)


def components_of(document: Mapping[str, Any]) -> dict[str, Component]:
    """The components of a CycloneDX document by name, models left out: those are told by the description.

    Of one name there may be several versions: then the version is a part of the name.
    """
    entries: dict[str, list[Component]] = {}
    for entry in document.get("components", []):
        if entry["type"] == "machine-learning-model":
            continue
        licenses = tuple(
            choice.get("expression") or choice.get("license", {}).get("id") or choice.get("license", {}).get("name", "")
            for choice in entry.get("licenses", [])
        )
        entries.setdefault(entry["name"], []).append(Component(entry.get("version", ""), licenses))
    return {name if len(same) == 1 else f"{name} {one.version}": one for name, same in entries.items() for one in same}


def _document(bundle: Bundle, fields: Sequence[str]) -> dict[str, Any]:
    return {field: msgspec.to_builtins(getattr(bundle, field)) for field in fields}


def _plain(value: Any, prefix: str = "") -> dict[str, Any]:
    return {f"{prefix}{key.replace('_', ' ')}": field for key, field in msgspec.to_builtins(value).items()}


def _fields(kind: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    """What two mappings do not have in common."""
    names = list(dict.fromkeys((*before, *after)))
    return [
        Change(kind, name, before.get(name), after.get(name)) for name in names if before.get(name) != after.get(name)
    ]


def _models(before: Bundle, after: Bundle) -> list[Change]:
    changes = []
    for name in dict.fromkeys((*before.models, *after.models)):
        first, second = (
            msgspec.to_builtins(bundle.models[name]) if name in bundle.models else None for bundle in (before, after)
        )
        if first is None or second is None:
            changes.append(
                Change("model", name, None if first is None else "there", None if second is None else "there")
            )
        else:
            changes += [
                Change("model", f"{name}: {change.name}", change.before, change.after)
                for change in _fields("model", first, second)
            ]
    return changes


def _components(before: Mapping[str, Component], after: Mapping[str, Component]) -> list[Change]:
    versions = [{name: one.version for name, one in found.items()} for found in (before, after)]
    licenses = [{name: " AND ".join(one.licenses) for name, one in found.items()} for found in (before, after)]
    both = before.keys() & after.keys()
    return [
        *_fields("component", versions[0], versions[1]),
        *(change for change in _fields("licence", licenses[0], licenses[1]) if change.name in both),
    ]


def _files(before: Sequence[FileRecord], after: Sequence[FileRecord]) -> list[Change]:
    def facts(record: FileRecord) -> dict[str, Any]:
        if record.link is not None:
            return {"link": record.link}
        return {"size": record.size, "sha256": record.sha256, "executable": record.executable}

    first, second = ({record.path: facts(record) for record in records} for records in (before, after))
    return _fields("file", dict(sorted(first.items())), dict(sorted(second.items())))
