"""Packages of one model for several devices: one model of the bundle, whose variants they are. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import msgspec

from aotpack.building.request import NamedModel
from aotpack.errors import ModelMismatchError
from aotpack.gpu.archs import label
from aotpack.package.metadata import ModelMetadata, Variant
from aotpack.package.model import ModelInfo


def as_variants(packages: Sequence[tuple[NamedModel, ModelInfo]]) -> tuple[tuple[str, ModelInfo], ...]:
    """The packages by the place that each has below the bundle's models.

    Of several packages of one name, that for the CPU is the model, or else the first; the others lie in folders of its
    own, and it lists them as its variants. Raises ModelMismatchError where they are not of one model.
    """
    by_name: dict[str, list[tuple[NamedModel, ModelInfo]]] = {}
    for named, info in packages:
        by_name.setdefault(named.name, []).append((named, info))
    placed: list[tuple[str, ModelInfo]] = []
    for name, group in by_name.items():
        (first_named, first), *others = sorted(group, key=lambda each: each[1].metadata.device != "cpu")
        forms = list(first.metadata.variants) or [_form(first.metadata)]
        nested: list[tuple[str, ModelInfo]] = []
        for named, info in others:
            _refuse_other_signature(first_named, first.metadata, named, info.metadata)
            form = _form(info.metadata)
            if form.name in [each.name for each in forms]:
                raise ModelMismatchError(
                    f"{named.package}: the model {name} has a package for {form.name} already",
                    meaning="packages of one name are variants of one model, for different devices",
                    fix=f"give it a name of its own: --model OTHER={named.package}",
                )
            forms.append(msgspec.structs.replace(form, folder=form.name))
            nested.append((f"{name}/{form.name}", info))
        if nested:
            metadata = msgspec.structs.replace(first.metadata, variants=tuple(forms))
            first = replace(first, metadata=metadata)
        placed += [(name, first), *nested]
    return tuple(placed)


def _form(metadata: ModelMetadata) -> Variant:
    """A package with one form, as a variant: `cpu`, `cuda-sm_90`, `cuda-sm_80-sm_90`."""
    return Variant(
        name="-".join(filter(None, (metadata.device, label(metadata.gpu_archs)))),
        device=metadata.device,
        cpu_features=metadata.cpu_features,
        gpu_archs=metadata.gpu_archs,
        floors=metadata.floors,
    )


def _refuse_other_signature(first: NamedModel, one: ModelMetadata, named: NamedModel, other: ModelMetadata) -> None:
    if not (one.has_signature and other.has_signature):
        what = "was made by plain PyTorch, which records no signature"
        unknown = named.package if not other.has_signature else first.package
    elif (one.inputs, one.outputs, one.guards) != (other.inputs, other.outputs, other.guards):
        what = f"takes or returns something else than {first.package.name}"
        unknown = named.package
    else:
        return
    raise ModelMismatchError(
        f"{unknown}: {what}",
        meaning=f"packages of one name ({first.name}) are variants of one model, and callers may get any of them",
        fix=f"export them from the same module, or give one a name of its own: --model OTHER={named.package}",
    )
