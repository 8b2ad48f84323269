"""What the user asks of `aotpack build`."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from aotpack.backend import Backend
from aotpack.building.archs import archs_to_keep
from aotpack.bundle.assets import Scalar, check_assets, check_metadata
from aotpack.environment.torch import TorchInfo
from aotpack.errors import UsageError

_MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True, kw_only=True)
class BuildRequest:
    """What the user asked for, as they said it."""

    backend: Backend
    output: Path
    #: (name or None for the file's own, path) in the order given.
    models: tuple[tuple[str | None, Path], ...] = ()
    portable: bool = False
    runtime: Literal["auto", "full", "slim"] = "auto"
    python: Literal["bundled", "host"] = "bundled"
    libc: Literal["bundled", "host"] = "bundled"
    #: GPUs that the bundle is to run on; empty for all that torch serves.
    archs: tuple[str, ...] = ()
    #: Feature groups beyond those that the models need.
    features: tuple[str, ...] = ()
    #: Whether libcrypto travels, so that the target's doctor can check signatures.
    with_crypto: bool = False
    #: (model or None for the only one, JSON file): what is known of its training.
    model_cards: tuple[tuple[str | None, Path], ...] = ()
    #: (name below `assets/`, file or folder) of what travels with the models.
    assets: tuple[tuple[str, Path], ...] = ()
    #: A few facts that travel with each model.
    metadata: Mapping[str, object] = field(default_factory=dict)
    debug: bool = False
    force: bool = False
    venv: Path | None = None


@dataclass(frozen=True)
class NamedModel:
    """A package and the name that its model has in the bundle."""

    name: str
    package: Path


@dataclass(frozen=True, kw_only=True)
class BuildOrder:
    """A request that can be carried out: it means the same from every folder, and its options go together."""

    backend: Backend
    #: The real folder, links followed.
    output: Path
    models: tuple[NamedModel, ...]
    portable: bool
    runtime: Literal["auto", "full", "slim"]
    python: Literal["bundled", "host"]
    libc: Literal["bundled", "host"]
    archs: tuple[str, ...]
    features: tuple[str, ...]
    with_crypto: bool
    #: Model -> its model card.
    cards: tuple[tuple[str, Path], ...]
    #: Name below `assets/` -> file.
    assets: tuple[tuple[str, Path], ...]
    metadata: tuple[tuple[str, Scalar], ...]
    debug: bool
    force: bool
    venv: Path | None


def order_key(order: BuildOrder, torch: TorchInfo) -> str:
    """What a build depends on besides files: the options, the torch taken, the compiler chosen by environment."""
    options = replace(order, force=False)
    chosen = {name: os.environ.get(name, "") for name in ("CC", "CXX")}
    text = repr((options, torch.root, torch.version, sorted(chosen.items())))
    return hashlib.sha256(text.encode()).hexdigest()


def order_of(request: BuildRequest) -> BuildOrder:
    """Real paths, a name for each model, and options that go together.

    Raises:
        UsageError: names or options that cannot be.
    """
    archs_to_keep(request.archs, request.backend)
    if not request.portable and "host" in (request.libc, request.python):
        raise UsageError(
            "--libc host and --python host need --portable",
            meaning="a development bundle uses this machine's own libc and the venv's Python anyway",
            fix="add --portable, or drop the option",
        )
    if not request.portable and (request.archs or request.features):
        raise UsageError(
            "--arch and --features need --portable",
            meaning="a development bundle links to the venv, so nothing is left out of it",
            fix="add --portable, or drop the option",
        )
    if request.with_crypto and not (request.portable and request.python == "bundled"):
        raise UsageError(
            "--with-crypto needs --portable and --python bundled",
            meaning="the libcrypto that would travel is the one of the Python that travels",
            fix="add --portable, or drop the option",
        )
    models: list[NamedModel] = []
    for given, path in request.models:
        name = given or path.stem
        if not _MODEL_NAME.fullmatch(name):
            raise UsageError(
                f"--model {name}={path}: {name!r} cannot be a model's name",
                meaning="the name becomes a folder: letters, digits, '.', '_' and '-', not starting with a dot",
                fix=f"--model NAME={path}",
            )
        if given is None and name in [model.name for model in models]:
            raise UsageError(
                f"--model {path}: the name {name} is taken by another --model",
                meaning="each model of a bundle has its own name; packages of one model for several devices share one",
                fix=f"--model OTHER={path}, or --model {name}={path} if it is the same model for another device",
            )
        models.append(NamedModel(name, path.absolute()))
    return BuildOrder(
        backend=request.backend,
        output=Path(os.path.realpath(request.output)),  # links in a circle stay what they are
        models=tuple(models),
        portable=request.portable,
        runtime=request.runtime,
        python=request.python,
        libc=request.libc,
        archs=request.archs,
        features=request.features,
        with_crypto=request.with_crypto,
        cards=tuple(_cards(request, list(dict.fromkeys(model.name for model in models))).items()),
        assets=check_assets(request.assets),
        metadata=check_metadata(request.metadata),
        debug=request.debug,
        force=request.force,
        venv=request.venv,
    )


def _cards(request: BuildRequest, models: Sequence[str]) -> dict[str, Path]:
    """The model cards by model. Raises UsageError when it is not clear whose one is."""
    cards: dict[str, Path] = {}
    for given, path in request.model_cards:
        name = given or (models[0] if len(models) == 1 else "")
        if not request.portable or name not in models or name in cards:
            if not request.portable:
                what, fix = "needs --portable", "add --portable, or drop the option"
            elif name in cards:
                what, fix = f"the model {name} has one already", "name one model card a model"
            else:
                what, fix = "whose is it?", f"--model-card {next(iter(models), 'NAME')}={path}"
            raise UsageError(
                f"--model-card {path}: {what}",
                meaning="a model card becomes a part of the model's entry in the bundle's bill of materials",
                fix=fix,
            )
        cards[name] = path.absolute()
    return cards
