"""What a build would do, without a bundle."""

from __future__ import annotations

from dataclasses import replace

from aotpack.building.assemble import prepare
from aotpack.building.libraries.gathering import finder_of
from aotpack.building.request import BuildRequest, order_of
from aotpack.bundle.plan import BundlePlan
from aotpack.bundle.savings import savings
from aotpack.environment.search import find_torch
from aotpack.progress.reporter import Reporter


def dry_run(request: BuildRequest, reporter: Reporter) -> BundlePlan:
    """What a build would do, and what is spared by what it leaves out."""
    order = order_of(request)
    torch = find_torch(order.backend, venv=order.venv)
    inputs, plan = prepare(order, torch, reporter)
    return replace(plan, savings=tuple(savings(inputs, frozenset(inputs.features), finder_of(torch))))
