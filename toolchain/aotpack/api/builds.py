"""`aotpack.build`: from models to a folder that runs."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

from aotpack.api.bundles import Bundle
from aotpack.backend import Backend
from aotpack.building.request import BuildRequest
from aotpack.errors import UsageError
from aotpack.progress.choosing import Progress, reporter_for

#: One model: a `Package`, or the path of one.
ModelLike = str | os.PathLike[str]
#: One, several, or several with the names that they have in the bundle.
Models = ModelLike | Iterable[ModelLike] | Mapping[str, ModelLike]


def build(
    models: Models,
    output: str | os.PathLike[str] | None = None,
    *,
    backend: str = "cpu",
    portable: bool = False,
    runtime: Literal["auto", "full", "slim"] = "auto",
    python: Literal["bundled", "host"] = "bundled",
    libc: Literal["bundled", "host"] = "bundled",
    archs: Iterable[str] = (),
    features: Iterable[str] = (),
    model_cards: Mapping[str, str | os.PathLike[str]] | None = None,
    venv: str | os.PathLike[str] | None = None,
    debug: bool = False,
    force: bool = False,
    verify: bool = False,
    progress: Progress = None,
) -> Bundle:
    """Build a bundle, or find that it is up to date.

        bundle = aotpack.build(package, "dist/model", portable=True, verify=True)
        bundle = aotpack.build({"encode": "a.pt2", "decode": "b.pt2"}, "dist/both", portable=True)

    Args:
        models: a package or several, each under its file's name or the one given.
        output: the folder; `dist/NAME` for a single model.
        backend: `cpu`, `cuda` or `rocm`.
        portable: copy all that is needed instead of linking to the environment of torch.
        runtime: `full` carries libtorch, `slim` does not; `auto` takes slim where it serves all models.
        python, libc: what travels of a portable bundle, or is the target's.
        archs: GPUs whose code is kept; all by default.
        features: library groups beyond what the models need.
        model_cards: by model, JSON files of what is known of its training.
        venv: the environment that holds torch.
        debug: build the bridge unoptimised and with symbols.
        force: replace the output folder whatever it holds.
        verify: check every file afterwards, and prove the bundle by a real inference.
        progress: as for `aotpack.export`.

    Raises:
        AotpackError: one of its subclasses, as the exit codes say; the output folder is then as it was, unless what
            failed was the proof of the new bundle.
    """
    named = named_models(models)
    request = BuildRequest(
        backend=Backend(backend),
        output=default_output(named) if output is None else Path(output),
        models=named,
        portable=portable,
        runtime=runtime,
        python=python,
        libc=libc,
        archs=tuple(archs),
        features=tuple(features),
        model_cards=tuple((name or None, Path(card)) for name, card in (model_cards or {}).items()),
        debug=debug,
        force=force,
        venv=None if venv is None else Path(venv),
    )
    return carry_out(request, verify=verify, progress=progress)


def carry_out(request: BuildRequest, *, verify: bool = False, progress: Progress = None) -> Bundle:
    """Build what a request asks for. Raises AotpackError."""
    from aotpack.building.build import build as build_bundle

    result = build_bundle(request, reporter_for(progress))
    bundle = Bundle(request.output, changed=result.changed, runtime_reason=result.runtime_reason)
    if verify:
        bundle.verify(run=True, progress=progress)
    return bundle


def named_models(models: Models) -> tuple[tuple[str | None, Path], ...]:
    """The packages in order, each with the name that was given."""
    if isinstance(models, Mapping):
        return tuple((name, Path(model)) for name, model in models.items())
    if isinstance(models, (str, os.PathLike)):
        return ((None, Path(models)),)
    return tuple((None, Path(model)) for model in models)


def default_output(models: tuple[tuple[str | None, Path], ...]) -> Path:
    """`dist/NAME` for a lone model. Raises UsageError for several."""
    if len(models) != 1:
        raise UsageError(
            f"--output is missing and there are {len(models)} models to take a name from",
            meaning="the bundle's folder has no name",
            fix="add --output dist/NAME",
        )
    name, path = models[0]
    return Path("dist") / (name or path.stem)
