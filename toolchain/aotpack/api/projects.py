"""What a project file describes, built."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from aotpack.api.builds import Named, carry_out, packages_of
from aotpack.api.bundles import Bundle
from aotpack.backend import Backend
from aotpack.building.request import BuildRequest
from aotpack.environment.search import find_beside
from aotpack.errors import UsageError
from aotpack.exporting.sources import is_source
from aotpack.progress.choosing import Progress
from aotpack.project.reading import NAME, Found, find_project, named_environment
from aotpack.project.settings import Export, Model


def the_project(folder: Path | None = None) -> Found:
    """The nearest project. Raises UsageError when there is none, or one with a mistake."""
    found = find_project(folder)
    if found is None:
        raise UsageError(
            f"nothing to build: no SOURCE, and no {NAME} in {folder or Path.cwd()} or above",
            meaning="what is to be built is said on the command line or in a project file",
            fix="aotpack build model.py:model --output dist/model, or start from aotpack init --example",
        )
    if not found.project.bundles:
        raise UsageError(
            f"{found.file}: describes no bundle",
            meaning="aotpack build makes each [bundles.NAME] of it",
            fix="add [bundles.NAME], for example with portable = true",
        )
    return found


def requests_of(
    found: Found,
    names: Sequence[str] = (),
    *,
    venv: Path | None = None,
    debug: bool = False,
    force: bool = False,
    verify: bool = False,
    progress: Progress = None,
    log: IO[bytes] | None = None,
) -> list[tuple[BuildRequest, bool]]:
    """What is asked for each bundle, and whether it is to be proven; models are exported, or found in the cache.

    Args:
        names: of bundles; all by default.
        venv: instead of the project's.
        verify: also where the project does not ask for it.
    """
    project, folder = found.project, found.folder
    named = venv or _environment(found)
    requests = []
    for name in names or project.bundles:
        bundle = project.bundles[name]
        packages: list[Named] = []
        for model_name in bundle.models or project.models:
            given = project.models[model_name]
            model = Model(source=given) if isinstance(given, str) else given
            options = {**project.export.given(), **Export.given(model)}
            proven = {"verify": True} if verify or bundle.verify else {}
            packages += packages_of(
                {model_name: _placed(model.source, folder)},
                backend=str(project.backend),
                venv=named,
                folder=folder,
                force=force,
                archs=bundle.archs,
                options={**proven, **options},
                progress=progress,
                log=log,
            )
        request = BuildRequest(
            backend=Backend(project.backend),
            output=folder / (bundle.output or f"dist/{name}"),
            models=tuple(packages),
            portable=bundle.portable,
            runtime=bundle.runtime,
            python=bundle.python,
            libc=bundle.libc,
            archs=bundle.archs,
            features=bundle.features,
            with_crypto=bundle.with_crypto,
            model_cards=tuple((model, folder / card) for model, card in bundle.model_cards.items()),
            assets=tuple((asset, folder / file) for asset, file in bundle.assets.items()),
            metadata=bundle.metadata,
            debug=debug,
            force=force,
            venv=named,
        )
        requests.append((request, verify or bundle.verify))
    return requests


def build_project(folder: str | os.PathLike[str] | None = None, *, progress: Progress = None) -> list[Bundle]:
    """Build all that the nearest project file describes, or find that it is up to date.

        for bundle in aotpack.build_project():
            print(bundle.path, bundle.changed)

    Args:
        folder: where to look for `aotpack.toml` or `[tool.aotpack]` in a pyproject.toml, and above; the current one by
            default.
        progress: as for `aotpack.export`.

    Raises:
        AotpackError: one of its subclasses, as the exit codes say.
    """
    found = the_project(None if folder is None else Path(folder))
    requests = requests_of(found, progress=progress)
    return [carry_out(request, verify=verify, progress=progress) for request, verify in requests]


def _environment(found: Found) -> Path | None:
    """The environment that the project names, or has beside it; None where another one is asked for, or there is none
    for the backend."""
    if os.environ.get("LIBTORCH"):
        return None
    project = found.project
    if os.environ.get("AOTPACK_VENV") or project.venv is not None:
        return named_environment(found)
    return find_beside(project.backend, found.folder)


def _placed(source: str, folder: Path) -> str:
    """A source whose file is relative to the project."""
    place, _, function = source.rpartition(":")
    if not is_source(source):
        return str(folder / source)
    return f"{folder / place}:{function}" if "/" in place or place.endswith(".py") else source
