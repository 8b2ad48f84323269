"""Making a bundle: gather facts, plan, write, describe. The one place that knows all the steps.

`gather` reads this machine and compiles what is ours; `plan_bundle` decides; `write_entries` writes into a folder that
takes the output's place when it is whole; the description is written last.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from aotpack.building import output_folder
from aotpack.building.gather import gather
from aotpack.building.papers import check_cards, papers
from aotpack.building.request import BuildOrder
from aotpack.bundle import manifest, writing
from aotpack.bundle.description import describe
from aotpack.bundle.entries import Copy, Entry, Link
from aotpack.bundle.inputs import BuildInputs
from aotpack.bundle.manifest import Bundle, FileRecord
from aotpack.bundle.plan import BundlePlan, plan_bundle
from aotpack.environment.torch import TorchInfo
from aotpack.progress.reporter import Reporter
from aotpack.tools import steps
from aotpack_doctor.base.places import DESCRIPTION
from aotpack_doctor.base.regular import read_regular


def prepare(order: BuildOrder, torch: TorchInfo, reporter: Reporter) -> tuple[BuildInputs, BundlePlan]:
    """All facts and the plan that follows from them. Compiles what is ours into the cache, and writes no bundle."""
    check_cards(order)
    inputs = gather(order, torch, reporter)
    steps.reached("gathered")
    return inputs, plan_bundle(inputs)


def assemble(order: BuildOrder, inputs: BuildInputs, plan: BundlePlan, reporter: Reporter) -> Bundle:
    """Write, describe and put in place what was planned; whoever calls holds the right to write the order's folder.

    Raises:
        AotpackError: as the exit codes say; the output folder is then as it was.
    """
    for warning in plan.warnings:
        reporter.warn(warning)
    total = sum(_size(entry) for entry in plan.entries)
    with output_folder.replacing(order.output, force=order.force) as folder:
        with reporter.bytes(f"writing {len(plan.entries)} files", total) as done:
            records = writing.write_entries(folder, plan.entries, done)
        if order.portable:
            records += _papers(folder, order, inputs, plan, records, reporter)
        bundle = describe(folder, records, inputs, plan)
        (folder / DESCRIPTION).write_bytes(manifest.encode(bundle))
        steps.reached("described")
    return manifest.decode(read_regular(str(order.output / DESCRIPTION), follow=False), DESCRIPTION)


def _papers(
    folder: Path,
    order: BuildOrder,
    inputs: BuildInputs,
    plan: BundlePlan,
    records: Sequence[FileRecord],
    reporter: Reporter,
) -> list[FileRecord]:
    """Write the bill of materials and the provenance."""
    made = papers(folder, order, inputs, plan.entries, records)
    for warning in made.warnings:
        reporter.warn(warning)
    return writing.write_entries(folder, made.entries, lambda _done: None)


def _size(entry: Entry) -> int:
    return entry.content.source.stat().st_size if isinstance(entry.content, Copy) else 0


def sources(order: BuildOrder, torch: TorchInfo, plan: BundlePlan) -> Iterator[Path]:
    """The files of this machine that the bundle came of."""
    yield torch.root / "version.py"
    yield from (model.package for model in order.models)
    yield from (path for _, path in order.cards)
    for entry in plan.entries:
        if isinstance(entry.content, Copy):
            yield entry.content.source
        elif isinstance(entry.content, Link) and entry.content.target.startswith("/"):
            yield Path(entry.content.target)
