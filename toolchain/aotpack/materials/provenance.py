"""`provenance.json`: how a bundle came to be, as an in-toto statement with SLSA's predicate.

It names what went in by digest, and no machine, user, folder or time: whoever builds the same again gets the same file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aotpack import __version__
from aotpack.bundle.manifest import FileRecord

NAME = "provenance.json"

_STATEMENT = "https://in-toto.io/Statement/v1"
_PREDICATE = "https://slsa.dev/provenance/v1"
#: What the parameters mean: docs/bundle-format.md.
_BUILD_TYPE = "urn:aotpack:build:v1"
_BUILDER = "urn:aotpack"


@dataclass(frozen=True, kw_only=True)
class Origins:
    """What a provenance follows from."""

    #: What the user asked for: backend, runtime, targets.
    parameters: Mapping[str, Any]
    #: Package files' names, of which several may be the same, with their SHA-256.
    packages: Sequence[tuple[str, str]]
    #: Recipe's name -> its SHA-256.
    recipes: Mapping[str, str]
    torch: str
    #: First line of its `--version`.
    compiler: str
    #: Package URLs of all components that travel.
    components: Sequence[str] = ()
    files: Sequence[FileRecord] = field(default_factory=tuple)


def statement(origins: Origins) -> bytes:
    """The document."""
    inputs = [
        *({"name": name, "digest": {"sha256": digest}} for name, digest in sorted(set(origins.packages))),
        *({"name": name, "digest": {"sha256": digest}} for name, digest in sorted(origins.recipes.items())),
        {"name": "torch", "uri": f"pkg:pypi/torch@{origins.torch}"},
        *({"uri": url} for url in sorted(set(origins.components))),
    ]
    document = {
        "_type": _STATEMENT,
        "subject": [
            {"name": record.path, "digest": {"sha256": record.sha256}}
            for record in origins.files
            if record.link is None
        ],
        "predicateType": _PREDICATE,
        "predicate": {
            "buildDefinition": {
                "buildType": _BUILD_TYPE,
                "externalParameters": dict(sorted(origins.parameters.items())),
                "internalParameters": {"compiler": origins.compiler},
                "resolvedDependencies": inputs,
            },
            "runDetails": {"builder": {"id": _BUILDER, "version": {"aotpack": __version__}}},
        },
    }
    return json.dumps(document, indent=1, ensure_ascii=False).encode() + b"\n"
