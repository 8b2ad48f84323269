"""What `aotpack.toml`, or the table `[tool.aotpack]` of a pyproject.toml, may say. Types alone.

The JSON schema in `schemas/project.schema.json`, which editors read, is generated from these types (a test holds them
together).
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from aotpack.backend import Backend
from aotpack.json_schemas import schema_of


class Export(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, rename="kebab"):
    """How models are exported; what is absent is as `aotpack export` has it by default."""

    #: `cpu`, `cuda`, `cuda:1`, `rocm`, ...; the backend's by default.
    device: str | None = None
    #: GPUs that the code is compiled for; those of the bundle by default.
    archs: tuple[str, ...] | None = None
    #: Weights folded and packed for speed, or as the module has them.
    constants: Literal["frozen", "updatable"] | None = None
    #: CPU instructions that the code may use.
    cpu_isa: str | None = None
    #: Compare with eager PyTorch; a package that differs is not kept.
    verify: bool | None = None
    #: Accept that sizes vary less than asked where torch cannot do it.
    allow_fixed: bool | None = None
    #: Record the example inputs and outputs in the package.
    sample: bool | None = None
    #: Options of Inductor's that keep a bundle's promises.
    options: dict[str, bool | int | str] | None = None

    def given(self) -> dict[str, Any]:
        """Keyword arguments of `aotpack.export`: what is said here, and nothing else."""
        values = {name: getattr(self, name) for name in Export.__struct_fields__}
        return {name: value for name, value in values.items() if value is not None}


class Model(Export, frozen=True, forbid_unknown_fields=True, kw_only=True, rename="kebab"):
    """A model: where it comes from, and what differs from `[export]`."""

    #: `FILE.py:FUNCTION`, `package.module:FUNCTION`, a program saved by torch.export.save, or a package.
    source: str


class Bundle(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, rename="kebab"):
    """A bundle; what is absent is as `aotpack build` has it by default."""

    #: The folder, `dist/NAME` by default.
    output: str | None = None
    #: Names of `[models]`; all by default.
    models: tuple[str, ...] | None = None
    #: Copy all that is needed instead of linking to the environment of torch.
    portable: bool = False
    runtime: Literal["auto", "full", "slim"] = "auto"
    python: Literal["bundled", "host"] = "bundled"
    libc: Literal["bundled", "host"] = "bundled"
    #: GPUs that it runs on: models are compiled for them, and the GPU code of others is left out.
    archs: tuple[str, ...] = ()
    #: Library groups beyond what the models need.
    features: tuple[str, ...] = ()
    #: libcrypto travels, so that `bin/aotrun doctor --key` checks signatures on the target.
    with_crypto: bool = False
    #: Model -> JSON file of what is known of its training.
    model_cards: dict[str, str] = {}
    #: Name -> file or folder that travels with the models.
    assets: dict[str, str] = {}
    #: A few facts that travel with the models.
    metadata: dict[str, bool | int | float | str] = {}
    #: Prove it by a real inference.
    verify: bool = False


class Project(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, rename="kebab"):
    """The whole document. Paths are relative to its folder."""

    #: The environment that holds torch; else it is looked for as everywhere.
    venv: str | None = None
    backend: Backend = Backend.CPU
    export: Export = Export()
    models: dict[str, str | Model] = {}
    bundles: dict[str, Bundle] = {}


def json_schema() -> bytes:
    """The schema for editors."""
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "aotpack.toml"}
    document = schema_of(Project, **head)
    return msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n"
