"""`bundle.json`: what a bundle is, in one document. Pure: text in, typed document out.

The JSON schema in `schemas/bundle.schema.json` is generated from these types (a test holds them together).
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Literal

import msgspec

from aotpack.backend import Backend
from aotpack.errors import DamagedError, UsageError
from aotpack.json_schemas import schema_of
from aotpack.package.metadata import ModelMetadata
from aotpack_doctor.base.places import DESCRIPTION
from aotpack_doctor.base.regular import SpecialFileError, read_regular

#: Grows when a field changes meaning; readers refuse a newer one.
SCHEMA = 1


#: What reading JSON that is none of ours ends in; numbers may be too large to be written again.
_NO_DOCUMENT = (msgspec.MsgspecError, UnicodeError, RecursionError, OverflowError)
_FIX = "copy the bundle again, or build it again with aotpack build"


class FileRecord(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One file or link of the bundle."""

    #: Relative to the bundle, `/`-separated, without `.` and `..`.
    path: str
    #: launcher, libc, runtime, data, bridge, python, runner, model, assets, headers, licenses or description.
    part: str
    #: Which ELF needs it or which line of the recipe names it.
    reason: str
    #: Bytes; 0 for a link.
    size: int = 0
    #: Of the content; None for a link.
    sha256: str | None = None
    #: Of each 64 MiB of a file that is larger than that, so that it can be checked by several cores.
    pieces: tuple[str, ...] = ()
    executable: bool = False
    #: Where a link points; None for a file.
    link: str | None = None
    #: The wheel's own bytes: this file's SHA-256 is that of the vendor's file (NVIDIA forbids to change theirs).
    pristine: bool = False
    #: What the vendor's wheel recorded as this file's SHA-256, where it did.
    wheel_sha256: str | None = None


class BuildHost(msgspec.Struct, frozen=True, kw_only=True):
    """The machine that built the bundle, as far as it matters to whoever debugs it."""

    system: str
    machine: str
    glibc: str | None
    compiler: str
    python: str | None


class BundleFloors(msgspec.Struct, frozen=True, kw_only=True):
    """The least that a target must have. None: nothing is asked."""

    #: Of the target's glibc; None when libc travels with the bundle.
    glibc: str | None = None
    #: Of the target's kernel.
    kernel: str | None = None
    cpu_features: tuple[str, ...] = ()
    #: Of the GPU driver.
    driver: str | None = None
    #: What a program needs that links to lib/ and so runs on the target's own libc and libstdc++.
    embedding_glibc: str | None = None
    embedding_glibcxx: str | None = None


class Torch(msgspec.Struct, frozen=True):
    """The torch that the bundle was built with."""

    version: str
    variant: Backend


class Bundle(msgspec.Struct, frozen=True, kw_only=True):
    """The document. Its schema is described in docs/bundle-format.md."""

    schema: int = SCHEMA
    aotpack: str
    backend: Backend
    runtime: Literal["full", "slim"]
    #: Whether the folder is whole in itself; False for a development bundle, which links to the build machine.
    portable: bool
    #: Whether libc with its loader, and the interpreter, travel.
    libc: Literal["bundled", "host"]
    python: Literal["bundled", "host"]
    torch: Torch
    built_on: BuildHost
    floors: BundleFloors
    #: GPU targets whose code is inside: `sm_90`, `gfx90a`; empty for CPU.
    gpu_archs: tuple[str, ...] = ()
    #: Feature groups that are inside.
    features: tuple[str, ...] = ()
    #: Sonames that the target provides (the driver; libc with `--libc host`).
    host_libraries: tuple[str, ...] = ()
    #: Model name -> what it is. Its files are under `models/NAME/`.
    models: dict[str, ModelMetadata] = {}
    files: tuple[FileRecord, ...] = ()
    #: SHA-256 of this document in canonical form without this field.
    digest: str = ""

    def sizes(self) -> dict[str, int]:
        """Bytes by part, largest first."""
        totals: dict[str, int] = {}
        for record in self.files:
            totals[record.part] = totals.get(record.part, 0) + record.size
        return dict(sorted(totals.items(), key=lambda item: -item[1]))


class _Listed(msgspec.Struct):
    """What every schema says of a file."""

    path: str


def digest_of(document: dict[str, Any]) -> str:
    """The digest of a document as it is written, whatever its `digest` field says and whoever added fields to it."""
    return hashlib.sha256(msgspec.json.encode({**document, "digest": ""}, order="sorted")).hexdigest()


def encode(bundle: Bundle) -> bytes:
    """The file's content, sealed with its digest, readable by people."""
    sealed = msgspec.structs.replace(bundle, digest=digest_of(msgspec.to_builtins(bundle)))
    return msgspec.json.format(msgspec.json.encode(sealed), indent=1) + b"\n"


def decode(content: bytes, origin: str) -> Bundle:
    """The document of a file's content. Raises DamagedError when it is not one or has been changed since sealing."""
    try:
        document = msgspec.json.decode(content, type=dict[str, Any])
        _refuse_newer(document.get("schema"), origin)
        bundle = msgspec.convert(document, Bundle)
        if bundle.schema < 1:
            raise msgspec.ValidationError(f"schema {bundle.schema}")
        digest = digest_of(document)
    except _NO_DOCUMENT as error:
        meaning = "the bundle's own description cannot be read, so nothing in it can be trusted"
        raise DamagedError(f"{origin}: {error}", meaning=meaning, fix=_FIX) from error
    if bundle.digest != digest:
        raise DamagedError(
            f"{origin}: its digest is {digest[:12]}..., it says {bundle.digest[:12]}...",
            meaning="the description was changed after the bundle was sealed",
            fix=_FIX,
        )
    return bundle


def listed(content: bytes) -> frozenset[str] | None:
    """The paths that a document lists, of whatever schema; None when it is not one that was sealed like ours."""
    try:
        document = msgspec.json.decode(content, type=dict[str, Any])
        if document.get("digest") != digest_of(document):
            return None
        return frozenset(record.path for record in msgspec.convert(document.get("files"), list[_Listed]))
    except _NO_DOCUMENT:
        return None


def _refuse_newer(schema: object, origin: str) -> None:
    """Before anything else: the rest of a newer document may not fit the types here."""
    if isinstance(schema, int) and schema > SCHEMA:
        raise DamagedError(
            f"{origin}: schema {schema}, this aotpack reads up to {SCHEMA}",
            meaning="the bundle was built by a newer aotpack",
            fix="pip install --upgrade aotpack",
        )


def json_schema() -> bytes:
    """The JSON schema of `bundle.json`."""
    return msgspec.json.format(msgspec.json.encode(schema_of(Bundle)), indent=2) + b"\n"


def load_bundle(folder: Path) -> Bundle:
    """The description of a bundle, a folder or a single file. Raises UsageError when it is none, DamagedError when it
    cannot be read."""
    path = folder / DESCRIPTION
    try:
        content = read_regular(str(path), follow=False)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UsageError(
            f"{folder}: has no {DESCRIPTION}",
            meaning="this is not a bundle",
            fix="name the folder that aotpack build --output made, or the file of aotpack pack --format file",
        ) from error
    except ValueError as error:
        raise DamagedError(
            f"{folder}: {error}",
            meaning="a bundle that is one file was truncated or changed since it was packed",
            fix="copy the file again",
        ) from error
    except SpecialFileError as error:
        raise DamagedError(
            f"{path}: {error.strerror}",
            meaning="a bundle's own description is a file in it; what is elsewhere may change at any time",
            fix=_FIX,
        ) from error
    return decode(content, str(path))
