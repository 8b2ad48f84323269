"""The models of a bundle: read, held against the backend, and as the runtime wants them."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence

import msgspec

from aotpack.backend import Backend
from aotpack.building.archs import check_model_archs
from aotpack.building.devices import as_variants
from aotpack.building.request import NamedModel
from aotpack.bundle.assets import Scalar
from aotpack.bundle.inputs import PlannedModel
from aotpack.errors import ModelMismatchError
from aotpack.package.metadata import WEIGHTS
from aotpack.package.model import ModelInfo, read_model
from aotpack.runtime import slim_weights
from aotpack.runtime.choice import RuntimeChoice
from aotpack.runtime.slim_weights import Packing


def read_models(
    models: Sequence[NamedModel], backend: Backend, archs: Sequence[str]
) -> tuple[tuple[str, ModelInfo], ...]:
    """The packages by their places. Raises ModelMismatchError for those of another backend, machine or GPU."""
    return as_variants([(model, _read(model, backend, archs)) for model in models])


def _read(model: NamedModel, backend: Backend, archs: Sequence[str]) -> ModelInfo:
    info = read_model(model.package, model.name)
    _check(model, info, backend)
    check_model_archs(model.name, info.metadata, archs)
    return info


def _check(model: NamedModel, info: ModelInfo, backend: Backend) -> None:
    metadata = info.metadata
    if metadata.device not in ("cpu", backend.value):
        raise ModelMismatchError(
            f"{model.package}: compiled for {metadata.device}, the bundle is for {backend}",
            meaning=f"a {backend} bundle has no runtime for this model's code",
            fix=f"aotpack build --backend {metadata.device} ..., or export the model again with --device cpu",
        )
    if metadata.machine != platform.machine():
        raise ModelMismatchError(
            f"{model.package}: compiled for {metadata.machine}, this machine is {platform.machine()}",
            meaning="a bundle is built on the architecture that it runs on",
            fix=f"export the model again here, or build on a {metadata.machine} machine",
        )


def planned(
    models: Sequence[tuple[str, ModelInfo]], choice: RuntimeChoice, metadata: Mapping[str, Scalar]
) -> tuple[PlannedModel, ...]:
    """The models as the chosen runtime wants them, with the facts that travel with each."""
    return tuple(_planned(name, model, choice, metadata) for name, model in models)


def _planned(name: str, model: ModelInfo, choice: RuntimeChoice, facts: Mapping[str, Scalar]) -> PlannedModel:
    packings: tuple[Packing, ...] = ()
    metadata = msgspec.structs.replace(model.metadata, metadata=dict(facts))
    if choice.runtime == "slim" and any(place == WEIGHTS for _, place in model.members):
        metadata, packings = slim_weights.for_slim(metadata)
    return PlannedModel(
        name,
        metadata,
        model.archive,
        model.members,
        model.needed,
        choice.sonames[name],
        packings,
        renaming=choice.renaming,
    )
