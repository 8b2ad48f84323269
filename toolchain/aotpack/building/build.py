"""`aotpack build`: whether there is anything to do, and one build of a folder at a time."""

from __future__ import annotations

from dataclasses import dataclass

from aotpack.building import output_folder, uptodate
from aotpack.building.request import BuildRequest, order_key, order_of
from aotpack.bundle import manifest
from aotpack.bundle.manifest import Bundle
from aotpack.environment.search import find_torch
from aotpack.progress.reporter import Reporter
from aotpack.tools import steps
from aotpack_doctor.base.places import DESCRIPTION
from aotpack_doctor.base.regular import read_regular


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
    order = order_of(request)
    output_folder.check(order.output, force=order.force)
    torch = find_torch(order.backend, venv=order.venv)
    key = order_key(order, torch)
    with output_folder.exclusive(
        order.output, waiting=lambda: reporter.say(f"waiting for another build of {order.output}")
    ):
        if not order.force and uptodate.is_current(order.output, key):
            content = read_regular(str(order.output / DESCRIPTION), follow=False)
            return BuildResult(manifest.decode(content, DESCRIPTION), "as before", changed=False)
        output_folder.check(order.output, force=order.force)  # again, now that nobody else writes there
        # Here, since it takes longer to import than it takes to find that there is nothing to do.
        from aotpack.building.assemble import assemble, prepare, sources

        inputs, plan = prepare(order, torch, reporter)
        bundle = assemble(order, inputs, plan, reporter)
        uptodate.remember(order.output, key, sources(order, torch, plan))
        steps.reached("remembered")
    return BuildResult(bundle, inputs.runtime_reason, changed=True)
