"""`aotpack.build`: from models to a folder that runs."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, Any, Literal

from aotpack.api.bundles import Bundle
from aotpack.backend import Backend
from aotpack.building.archs import archs_to_keep
from aotpack.building.request import BuildRequest
from aotpack.errors import UsageError
from aotpack.exporting.driving import parse_device
from aotpack.exporting.in_process import own_environment
from aotpack.exporting.sources import Source, is_source, parse_source
from aotpack.progress.choosing import Progress, reporter_for

#: A `Package`, the path of one, or a text that names a source (see `aotpack.export`).
ModelLike = str | os.PathLike[str]
#: One, several, or several with the names that they have in the bundle.
Models = ModelLike | Iterable[ModelLike | tuple[str | None, ModelLike]] | Mapping[str, ModelLike]
#: A package and the name that was given.
Named = tuple[str | None, Path]


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
    with_crypto: bool = False,
    model_cards: Mapping[str, str | os.PathLike[str]] | None = None,
    assets: Mapping[str, str | os.PathLike[str]] | None = None,
    metadata: Mapping[str, bool | int | float | str] | None = None,
    venv: str | os.PathLike[str] | None = None,
    debug: bool = False,
    force: bool = False,
    verify: bool = False,
    export: Mapping[str, Any] | None = None,
    progress: Progress = None,
) -> Bundle:
    """Build a bundle, or find that it is up to date.

        bundle = aotpack.build(package, "dist/model", portable=True, verify=True)
        bundle = aotpack.build({"encode": "m.py:encode", "decode": "m.py:decode"}, "dist/both", portable=True)

    Args:
        models: a package, or what `aotpack.export` takes as a text, or several, each under its own name or the one
            given. What is exported here is kept in the cache, by the contents of all files that it follows from.
        output: the folder; `dist/NAME` for a single model.
        backend: `cpu`, `cuda` or `rocm`.
        portable: copy all that is needed instead of linking to the environment of torch.
        runtime: `full` carries libtorch, `slim` does not; `auto` takes slim where it serves all models.
        python, libc: what travels of a portable bundle, or is the target's.
        archs: GPUs that it is to run on: what is exported here is compiled for them, as by `archs` of `aotpack.export`,
            and the GPU code of others is left out. All by default.
        features: library groups beyond what the models need.
        with_crypto: libcrypto travels, so that `bin/aotrun doctor --key` checks signatures on the target.
        model_cards: by model, JSON files of what is known of its training.
        assets: by name, files (and folders of files) that travel with the models: `model.asset("labels.txt")`.
        metadata: a few facts that travel with them: `model.metadata["sample_rate"]`.
        venv: the environment that holds torch; by default that of this process, if it has imported torch.
        debug: build the bridge unoptimised and with symbols.
        force: replace the output folder whatever it holds.
        verify: compare what is exported with eager PyTorch; check every file of the bundle, and run each model in a
            root that holds nothing else.
        export: further options of `aotpack.export` for what is exported.
        progress: as for `aotpack.export`.

    Raises:
        AotpackError: one of its subclasses, as the exit codes say; the output folder is then as it was, unless what
            failed was the proof of the new bundle.
    """
    where = own_environment() if venv is None else Path(venv)
    options = {"verify": verify, **(export or {})}
    archs = archs_to_keep(archs, parse_device(backend)[0])
    named = packages_of(
        models, backend=backend, archs=archs, venv=where, force=force, options=options, progress=progress
    )
    request = BuildRequest(
        backend=Backend(backend),
        output=default_output(named) if output is None else Path(output),
        models=named,
        portable=portable,
        runtime=runtime,
        python=python,
        libc=libc,
        archs=archs,
        features=tuple(features),
        with_crypto=with_crypto,
        model_cards=tuple((name or None, Path(card)) for name, card in (model_cards or {}).items()),
        assets=tuple((name, Path(file)) for name, file in (assets or {}).items()),
        metadata=metadata or {},
        debug=debug,
        force=force,
        venv=where,
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


def packages_of(
    models: Models,
    *,
    backend: str,
    archs: tuple[str, ...] = (),
    venv: Path | None,
    folder: Path | None = None,
    force: bool = False,
    options: Mapping[str, Any],
    progress: Progress = None,
    log: IO[bytes] | None = None,
) -> tuple[Named, ...]:
    """The packages in order, each with the name that was given; sources are exported, or found in the cache.

    Args:
        archs: GPUs of the bundle, which sources for GPUs are compiled for where `options` say nothing else.
        folder: where modules are looked for; the current one by default.
        options: of `aotpack.export`.

    Raises AotpackError.
    """
    archs = archs_to_keep(archs, parse_device(backend)[0])
    given: dict[str, Any] = {"device": backend, **options}
    if archs and given["device"] != Backend.CPU.value:
        given.setdefault("archs", archs)
    packages: list[Named] = []
    for name, model in _pairs(models):
        source = source_of(model)
        if source is None:
            packages.append((name, Path(model)))
            continue
        from aotpack.api.exports import export_once

        package = export_once(
            source, name=name, venv=venv, folder=folder, force=force, progress=progress, log=log, **given
        )
        packages.append((name or source.name, package.path))
    return tuple(packages)


def _pairs(models: Models) -> list[tuple[str | None, ModelLike]]:
    if isinstance(models, Mapping):
        return list(models.items())
    if isinstance(models, (str, os.PathLike)):
        return [(None, models)]
    return [model if isinstance(model, tuple) else (None, model) for model in models]


def source_of(model: ModelLike) -> Source | None:
    """What is to be exported first; None for a package. Raises UsageError, DamagedError for what is neither."""
    text = os.fspath(model)
    if is_source(text):
        return parse_source(text)
    from aotpack.package.kinds import holds_program

    return Source(Path(text).absolute()) if Path(text).is_file() and holds_program(Path(text)) else None


def default_output(models: tuple[Named, ...]) -> Path:
    """`dist/NAME` for a lone model. Raises UsageError for several."""
    if len(models) != 1:
        raise UsageError(
            f"--output is missing and there are {len(models)} models to take a name from",
            meaning="the bundle's folder has no name",
            fix="add --output dist/NAME",
        )
    name, path = models[0]
    return Path("dist") / (name or path.stem)
