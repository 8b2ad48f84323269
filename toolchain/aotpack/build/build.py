"""`aotpack build`: whether there is anything to do, and one build of a folder at a time."""

from __future__ import annotations

from dataclasses import dataclass

from aotpack.build import output_folder, uptodate
from aotpack.build.request import BuildRequest, Reporter, request_key, settled
from aotpack.bundle import manifest
from aotpack.bundle.manifest import Bundle
from aotpack.environment.search import find_torch
from aotpack.tools import steps


@dataclass(frozen=True)
class BuildResult:
    """A finished build."""

    bundle: Bundle
    #: Why this runtime, in a phrase.
    runtime_reason: str
    #: False when everything was up to date.
    changed: bool


def build(request: BuildRequest, reporter: Reporter) -> BuildResult:
    """Build a bundle, or find that it is up to date.

    Raises:
        AotpackError: as the exit codes say; the output folder is then as it was.
    """
    request = settled(request)
    output_folder.check(request.output, force=request.force)
    torch = find_torch(request.backend, venv=request.venv)
    key = request_key(request, torch)
    with output_folder.exclusive(
        request.output, waiting=lambda: reporter.say(f"waiting for another build of {request.output}")
    ):
        if not request.force and uptodate.is_current(request.output, key):
            content = (request.output / manifest.NAME).read_bytes()
            return BuildResult(manifest.decode(content, manifest.NAME), "as before", changed=False)
        output_folder.check(request.output, force=request.force)  # again, now that nobody else writes there
        # Here, since it takes longer to import than it takes to find that there is nothing to do.
        from aotpack.build.assemble import assemble

        made = assemble(request, torch, reporter)
        uptodate.remember(request.output, key, made.sources)
        steps.reached("remembered")
    return BuildResult(made.bundle, made.runtime_reason, changed=True)
