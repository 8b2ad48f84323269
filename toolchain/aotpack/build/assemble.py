"""Making a bundle: gather facts, plan, stage, seal. The one place that knows all the steps.

`gather` reads this machine and compiles what is ours; `plan_bundle` decides; `stage` writes; the manifest seals.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from aotpack.build import output_folder
from aotpack.build.gather import Gathered, finder_of, gather
from aotpack.build.request import BuildRequest, Reporter, settled
from aotpack.bundle import manifest, writing
from aotpack.bundle.description import describe
from aotpack.bundle.entries import Copy, Entry, Link
from aotpack.bundle.manifest import Bundle
from aotpack.bundle.plan import BundlePlan, plan_bundle
from aotpack.bundle.savings import savings
from aotpack.environment.search import find_torch
from aotpack.environment.torch import TorchInfo
from aotpack.tools import steps


@dataclass(frozen=True)
class Assembled:
    """A bundle that is in its place."""

    bundle: Bundle
    #: Why this runtime, in a phrase.
    runtime_reason: str
    #: The files of this machine that it came of.
    sources: tuple[Path, ...]


def assemble(request: BuildRequest, torch: TorchInfo, reporter: Reporter) -> Assembled:
    """Make the bundle that a settled request asks for; whoever calls holds the right to write its folder.

    Raises:
        AotpackError: as the exit codes say; the output folder is then as it was.
    """
    gathered = gather(request, torch, reporter)
    steps.reached("gathered")
    plan = plan_bundle(gathered.inputs)
    for warning in plan.warnings:
        reporter.warn(warning)
    bundle = _write(request, gathered, plan, reporter)
    return Assembled(bundle, gathered.runtime_reason, tuple(_sources(request, torch, plan)))


def dry_run(request: BuildRequest, reporter: Reporter) -> BundlePlan:
    """What a build would do. Compiles what is ours into the cache, and writes no bundle."""
    request = settled(request)
    torch = find_torch(request.backend, venv=request.venv)
    gathered = gather(request, torch, reporter)
    spared = savings(gathered.inputs, frozenset(gathered.facts.features), finder_of(torch))
    return replace(plan_bundle(gathered.inputs), savings=tuple(spared))


def _write(request: BuildRequest, gathered: Gathered, plan: BundlePlan, reporter: Reporter) -> Bundle:
    """Stage, seal and put in place."""
    total = sum(_size(entry) for entry in plan.entries)
    with output_folder.staging(request.output, force=request.force) as folder:
        with reporter.bytes(f"writing {len(plan.entries)} files", total) as done:
            records = writing.write_entries(folder, plan.entries, done)
        bundle = describe(folder, records, gathered.inputs, plan, gathered.facts)
        (folder / manifest.NAME).write_bytes(manifest.encode(bundle))
        steps.reached("sealed")
    return manifest.decode((request.output / manifest.NAME).read_bytes(), manifest.NAME)


def _size(entry: Entry) -> int:
    return entry.content.source.stat().st_size if isinstance(entry.content, Copy) else 0


def _sources(request: BuildRequest, torch: TorchInfo, plan: BundlePlan) -> Iterator[Path]:
    """The files of this machine that the bundle came of."""
    yield torch.root / "version.py"
    for _, path in request.models:
        yield path.absolute()
    for entry in plan.entries:
        if isinstance(entry.content, Copy):
            yield entry.content.source
        elif isinstance(entry.content, Link) and entry.content.target.startswith("/"):
            yield Path(entry.content.target)
