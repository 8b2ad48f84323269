"""An OCI image of a bundle as a plain image layout: no daemon, no shell, no base image.

Layers: the runtime, which registries share among bundles; one a model; and the bundle's description.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from aotpack.bundle.manifest import Bundle
from aotpack.errors import UsageError
from aotpack.release.archives import write_tar
from aotpack.release.contents import Item, Progress
from aotpack_doctor.base.places import MODELS
from aotpack_doctor.base.regular import read_regular

#: Where the bundle lies in the image.
PLACE = "opt/aotpack"
#: Nobody in particular: the user and group that distroless images use.
USER = "65532:65532"
INDEX = "index.json"
LAYOUT = "oci-layout"

_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_INDEX = "application/vnd.oci.image.index.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
#: How what made a layer begins in an image's history.
_STEP = "aotpack: "
#: uname's machine -> Go's, which images are labelled with.
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
#: https://github.com/distribution/reference: a name of lower-case parts, and a tag.
_NAME = re.compile(
    r"(?:(?P<registry>(?:localhost|[a-zA-Z0-9.-]*\.[a-zA-Z0-9.-]+|[a-zA-Z0-9.-]+(?=:\d))(?::\d{1,5})?)/)?"
    r"(?P<name>[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*)"
    r"(?::(?P<tag>\w[\w.-]{0,127}))?",
    re.ASCII,
)


@dataclass(frozen=True)
class Reference:
    """The name of an image."""

    #: Host and port; empty where none is named.
    registry: str
    name: str
    tag: str

    def __str__(self) -> str:
        return "/".join(filter(None, (self.registry, f"{self.name}:{self.tag}")))


def parse_reference(text: str, option: str) -> Reference:
    """The parts of `[REGISTRY/]NAME[:TAG]`; the tag is `latest` where there is none. Raises UsageError."""
    match = _NAME.fullmatch(text)
    if match is None:
        raise UsageError(
            f"{option} {text}: not the name of an image",
            meaning="a name is lower-case letters, digits and single '.', '_' or '-' between them, then ':' and a tag",
            fix=f"{option} mlp:1.0",
        )
    return Reference(match["registry"] or "", match["name"], match["tag"] or "latest")


@dataclass(frozen=True)
class Blob:
    """A piece of an image, named by the SHA-256 of its bytes."""

    media_type: str
    #: 64 hexadecimal digits.
    sha256: str
    #: Bytes.
    size: int

    def descriptor(self, **more: Any) -> dict[str, Any]:
        """How manifests refer to it."""
        return {"mediaType": self.media_type, "digest": f"sha256:{self.sha256}", "size": self.size, **more}


def layers_of(items: Sequence[Item]) -> list[tuple[str, list[Item]]]:
    """The items apart: runtime, each model, description; each with what it is called. Pure."""
    layers: dict[str, list[Item]] = {"runtime": []}
    described: list[Item] = []
    for item in items:
        folder, _, rest = item.path.partition("/")
        if folder == MODELS:
            name = rest.partition("/")[0]
            if name:
                layers.setdefault(f"model {name}", []).append(item)
        elif not rest and (item.file is not None or item.link is not None):
            described.append(item)
        else:
            layers["runtime"].append(item)
    return [*layers.items(), ("description", described)]


def write_layout(
    folder: Path,
    bundle: Bundle,
    items: Sequence[Item],
    reference: Reference,
    date: datetime,
    facts: dict[str, str],
    done: Progress,
) -> str:
    """Write an image layout.

    Args:
        folder: an empty folder.
        bundle: what the items are.
        items: all of the bundle.
        reference: the image's name.
        date: of the image and all files in it, in UTC.
        facts: further annotations of the OCI image spec without their prefix, such as `licenses`.
        done: called with the bytes just read.

    Returns:
        The SHA-256 of the image's manifest.

    Raises:
        UsageError: an architecture that images have no name for.
    """
    architecture = _architecture(bundle)
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    annotations = {
        f"org.opencontainers.image.{key}": value
        for key, value in sorted({**_facts(bundle, reference, date), **facts}.items())
        if value
    }
    layers: list[dict[str, Any]] = []
    diff_ids: list[str] = []
    history: list[dict[str, str]] = []
    for title, layer in layers_of(items):
        blob, diff_id = _write_layer(blobs, layer, date, done)
        layers.append(blob.descriptor(annotations={"org.opencontainers.image.title": title}))
        diff_ids.append(f"sha256:{diff_id}")
        history.append({"created": annotations["org.opencontainers.image.created"], "created_by": f"{_STEP}{title}"})
    config = {
        "created": annotations["org.opencontainers.image.created"],
        "architecture": architecture,
        "os": "linux",
        "config": {
            "User": USER,
            "Entrypoint": [f"/{PLACE}/bin/aotrun"],
            "Cmd": ["info"],
            "WorkingDir": "/",
            "Labels": annotations,
        },
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
        "history": history,
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": _MANIFEST,
        "config": _write_json(blobs, _CONFIG, config).descriptor(),
        "layers": layers,
        "annotations": annotations,
    }
    written = _write_json(blobs, _MANIFEST, manifest)
    named = {"org.opencontainers.image.ref.name": reference.tag, "io.containerd.image.name": str(reference)}
    platform = {"architecture": architecture, "os": "linux"}
    index = {
        "schemaVersion": 2,
        "mediaType": _INDEX,
        "manifests": [written.descriptor(platform=platform, annotations=named)],
    }
    (folder / INDEX).write_bytes(_json(index))
    (folder / LAYOUT).write_bytes(_json({"imageLayoutVersion": "1.0.0"}))
    return written.sha256


def is_ours(folder: Path) -> bool:
    """Whether a folder holds one image that `write_layout` wrote, and nothing else: others keep several images in a
    layout."""

    def blob(descriptor: dict[str, Any]) -> Path:
        return folder / "blobs" / "sha256" / str(descriptor["digest"]).removeprefix("sha256:")

    def document(path: Path) -> Any:
        return json.loads(read_regular(str(path), follow=False))

    try:
        (named,) = document(folder / INDEX)["manifests"]
        manifest = document(blob(named))
        listed = {folder / INDEX, folder / LAYOUT, *map(blob, (named, manifest["config"], *manifest["layers"]))}
        steps = [entry["created_by"] for entry in document(blob(manifest["config"]))["history"]]
        found = {path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir()}
        return found <= listed and all(step.startswith(_STEP) for step in steps)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return False


def _facts(bundle: Bundle, reference: Reference, date: datetime) -> dict[str, str]:
    models = ", ".join(sorted(bundle.models)) or "no model"
    return {
        "created": date.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "title": reference.name.rpartition("/")[2],
        "version": reference.tag,
        "description": f"{models} with all that it needs to run ({bundle.backend}, {bundle.runtime} runtime)",
    }


def _architecture(bundle: Bundle) -> str:
    machine = bundle.built_on.machine
    if machine not in _ARCHITECTURES:
        raise UsageError(
            f"{machine}: images have no name for this architecture",
            meaning=f"aotpack knows {', '.join(_ARCHITECTURES)}",
            fix="use --format tar.zst",
        )
    return _ARCHITECTURES[machine]


def _write_layer(blobs: Path, items: Sequence[Item], date: datetime, done: Progress) -> tuple[Blob, str]:
    """A gzipped tar and the hash of its bytes before gzip, which is what an image's config names it by."""
    partial = blobs / "partial"
    with partial.open("wb") as stream:
        packed = _Hashed(stream)
        with gzip.GzipFile(filename="", mode="wb", fileobj=packed, compresslevel=6, mtime=0) as compressed:
            plain = _Hashed(compressed)
            write_tar(plain, PLACE, items, date, done)
    partial.rename(blobs / packed.digest.hexdigest())
    return Blob(_LAYER, packed.digest.hexdigest(), packed.size), plain.digest.hexdigest()


class _Hashed:
    """A file to write to that hashes and counts."""

    def __init__(self, target: IO[bytes] | gzip.GzipFile) -> None:
        self._target = target
        self.digest = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> int:
        self.digest.update(data)
        self.size += len(data)
        self._target.write(data)
        return len(data)

    def flush(self) -> None:
        """For gzip, which flushes what it writes to."""
        self._target.flush()


def _write_json(blobs: Path, media_type: str, document: dict[str, Any]) -> Blob:
    data = _json(document)
    digest = hashlib.sha256(data).hexdigest()
    (blobs / digest).write_bytes(data)
    return Blob(media_type, digest, len(data))


def _json(document: dict[str, Any]) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
