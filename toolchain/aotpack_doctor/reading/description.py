"""`bundle.json`, parsed. Anybody may have written it: what has not the type that it should have is refused here, so
that nobody else needs to ask."""

from __future__ import annotations

import json
import os
from typing import Any, Dict, NamedTuple

from aotpack_doctor.base import hashing
from aotpack_doctor.base.places import DESCRIPTION, MODELS
from aotpack_doctor.base.regular import read_regular
from aotpack_doctor.facts import Bundle

#: bundle.json's schema that this reads.
SCHEMA = 1


class Record(NamedTuple):
    """One file or link, as docs/bundle-format.md has it."""

    path: str
    part: str
    size: int = 0
    sha256: str = ""
    pieces: tuple[str, ...] = ()
    executable: bool = False
    link: str | None = None
    pristine: bool = False
    wheel_sha256: str | None = None

    @property
    def is_inside(self) -> bool:
        """Whether the path names a place in the bundle."""
        parts = self.path.split("/")
        return "\0" not in self.path and not {"", ".", ".."}.intersection(parts)


class VariantRecord(NamedTuple):
    """What is said of one form of a model."""

    name: str
    #: Of its code, relative to the model's folder.
    library: str
    device: str
    cpu_features: tuple[str, ...]
    gpu_archs: tuple[str, ...] = ()


class ModelRecord(NamedTuple):
    """What is said of a model; `document` is all of it, as in its own model.json."""

    device: str
    machine: str | None
    torch_version: str | None
    cpu_features: tuple[str, ...]
    gpu_archs: tuple[str, ...]
    variants: tuple[VariantRecord, ...]
    glibc: str | None
    glibcxx: str | None
    int4_order: str | None
    multiplies_bytes: bool
    #: oneDNN's descriptors of packed weights, in hexadecimal.
    layouts: tuple[str, ...]
    aotpack_version: str | None
    document: dict[str, Any]


class Description(NamedTuple):
    """What a bundle says of itself."""

    backend: str
    runtime: str
    portable: bool
    libc: str
    machine: str
    torch_version: str
    gpu_archs: tuple[str, ...]
    cpu_features: tuple[str, ...]
    floors: dict[str, str]
    host_libraries: tuple[str, ...]
    files: tuple[Record, ...]
    models: Dict[str, ModelRecord]

    def record_of(self, path: str) -> Record | None:
        """A file by its path."""
        return next((record for record in self.files if record.path == path), None)

    def facts(self, path: str, problem: str | None) -> Bundle:
        """The bundle as it describes itself, before anybody has looked at its files."""
        return Bundle(
            path,
            problem=problem,
            backend=self.backend,
            runtime=self.runtime,
            portable=self.portable,
            libc=self.libc,
            machine=self.machine,
            torch_version=self.torch_version,
            gpu_archs=self.gpu_archs,
            cpu_features=self.cpu_features,
            floors=self.floors,
            sizes=tuple((record.path, record.part, record.size) for record in self.files),
        )


def read_description(folder: str) -> tuple[Description | None, str | None]:
    """A bundle's description, and why it is not to be trusted. The file is never a link.

    Raises OSError when it is there and cannot be read.
    """
    try:
        content = read_regular(os.path.join(folder, DESCRIPTION), follow=False)
    except FileNotFoundError:
        return None, f"no {DESCRIPTION} in it: not a bundle, or not copied whole"
    try:
        document = json.loads(content)
        schema = _field(document, "schema", int)
        if schema < 1:
            raise ValueError(f"schema is {schema}")
        if schema > SCHEMA:
            return None, f"{DESCRIPTION} has schema {schema}; this doctor reads up to {SCHEMA}"
        sealed = _field(document, "digest", str)
        actual = _digest(document)
        description = _parsed(document)
    except RecursionError:
        return None, f"{DESCRIPTION} is not a bundle's description: it is nested too deeply"
    except ValueError as error:
        return None, f"{DESCRIPTION} is not a bundle's description: {error}"
    if actual != sealed:
        return (
            description,
            f"{DESCRIPTION} was changed after the bundle was sealed: digest {actual[:12]}, sealed {sealed[:12]}",
        )
    return description, None


def parse_model(document: object) -> ModelRecord:
    """What `model.json`, or bundle.json of the model, says. Raises ValueError."""
    model: dict[str, Any] = _typed(document, dict, "a model")
    floors = _field(model, "floors", dict, {})
    return ModelRecord(
        device=_field(model, "device", str, "cpu"),
        machine=_text(model, "machine"),
        torch_version=_text(model, "torch_version"),
        cpu_features=_words(model, "cpu_features"),
        gpu_archs=_words(model, "gpu_archs"),
        variants=tuple(_variant(each) for each in _field(model, "variants", list, [])),
        glibc=_text(floors, "glibc"),
        glibcxx=_text(floors, "glibcxx"),
        int4_order=_text(model, "int4_order"),
        multiplies_bytes=any(
            _field(layer, "precision", str, "") == "int8" for layer in _field(model, "precision", list, [])
        ),
        layouts=_words(model, "layouts"),
        aotpack_version=_text(model, "aotpack_version"),
        document=model,
    )


def _variant(document: object) -> VariantRecord:
    variant: dict[str, Any] = _typed(document, dict, "a variant")
    folder, library = _field(variant, "folder", str, ""), _field(variant, "library", str, "model.so")
    place = f"{folder}/{library}" if folder else library
    if not Record(place, "model").is_inside:
        raise ValueError(f"a variant lies in {place!r}")
    return VariantRecord(
        name=_field(variant, "name", str),
        library=place,
        device=_field(variant, "device", str, "cpu"),
        cpu_features=_words(variant, "cpu_features"),
        gpu_archs=_words(variant, "gpu_archs"),
    )


def _digest(document: dict[str, Any]) -> str:
    canonical = json.dumps({**document, "digest": ""}, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    digest = hashing.PYTHONS.new()
    digest.update(canonical.encode())
    text: str = digest.hexdigest()
    return text


def _parsed(document: dict[str, Any]) -> Description:
    floors = _field(document, "floors", dict)
    models: dict[str, Any] = _field(document, "models", dict)
    for name in models:
        if not Record(f"{MODELS}/{name}", "model").is_inside or "/" in name:
            raise ValueError(f"a model is called {name!r}")
    return Description(
        backend=_field(document, "backend", str),
        runtime=_field(document, "runtime", str),
        portable=_field(document, "portable", bool),
        libc=_field(document, "libc", str),
        machine=_field(_field(document, "built_on", dict), "machine", str),
        torch_version=_field(_field(document, "torch", dict), "version", str),
        gpu_archs=_words(document, "gpu_archs"),
        cpu_features=_words(floors, "cpu_features"),
        floors={name: value for name, value in floors.items() if value and isinstance(value, str)},
        host_libraries=_words(document, "host_libraries"),
        files=tuple(_record(each) for each in _field(document, "files", list)),
        models={name: parse_model(model) for name, model in models.items()},
    )


def _record(document: object) -> Record:
    record: dict[str, Any] = _typed(document, dict, "a file")
    link = _text(record, "link")
    return Record(
        path=_field(record, "path", str),
        part=_field(record, "part", str),
        size=_field(record, "size", int, 0),
        sha256=_field(record, "sha256", str) if link is None else "",
        pieces=_words(record, "pieces"),
        executable=_field(record, "executable", bool, False),
        link=link,
        pristine=_field(record, "pristine", bool, False),
        wheel_sha256=_text(record, "wheel_sha256"),
    )


def _typed(value: Any, kind: type, what: str) -> Any:
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ValueError(f"{what} is {json.dumps(value)[:40]}")
    return value


def _field(document: Any, name: str, kind: type, *default: Any) -> Any:
    """A field of a type; without a default it must be there."""
    if name not in _typed(document, dict, "it"):
        if default:
            return default[0]
        raise ValueError(f"it has no {name}")
    return _typed(document[name], kind, name)


def _text(document: dict[str, Any], name: str) -> str | None:
    text: str | None = None if document.get(name) is None else _typed(document[name], str, name)
    return text


def _words(document: dict[str, Any], name: str) -> tuple[str, ...]:
    return tuple(_typed(word, str, name) for word in _field(document, name, list, []))
