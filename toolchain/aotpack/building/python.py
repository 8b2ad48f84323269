"""The interpreter of a bundle: its files, and what its extension modules need."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, replace
from pathlib import Path

from aotpack.building.request import BuildOrder
from aotpack.bundle.entries import Entry, Link, Part
from aotpack.environment.torch import TorchInfo
from aotpack.interpreter.selection import plan_interpreter
from aotpack.libraries.closure import Closure, walk
from aotpack.libraries.finder import DiskFinder
from aotpack_doctor.base.places import PYTHON_PROGRAM


@dataclass(frozen=True)
class PythonFiles:
    """The interpreter that starts the runner."""

    entries: tuple[Entry, ...] = ()
    #: What its extension modules need.
    closure: Closure = field(default_factory=lambda: Closure(()))
    #: Such as `3.11`; None when the target's is used.
    version: str | None = None


def python_files(order: BuildOrder, torch: TorchInfo, finder: DiskFinder) -> PythonFiles:
    """A copy of the environment's interpreter, a link to it, or nothing, as the order says."""
    if order.python == "host":
        return PythonFiles()
    python = torch.python or Path(sys.executable)
    if not order.portable:
        link = Entry(PYTHON_PROGRAM, Part.PYTHON, "starts the runner", Link(str(python)))
        return PythonFiles((link,), version=torch.python_version)
    plan = plan_interpreter(python, with_crypto=order.with_crypto)
    closure = walk(plan.roots, finder)
    own = {root.name for root in plan.roots}  # they are entries of the plan already
    needs = replace(closure, libraries=tuple(library for library in closure.libraries if library.name not in own))
    entries = plan.entries if order.libc == "host" else plan.packed_for(closure).entries
    return PythonFiles(entries, needs, plan.version)
