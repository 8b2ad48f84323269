"""Checks a bundle before it is trusted, against its own description. Nothing of the bundle is run.

What is looked at, and what is wrong, is the doctor's to say: `aotrun doctor` asks the same reader on the target. Here
all of it counts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from aotpack.bundle.manifest import Bundle, load_bundle
from aotpack.errors import AotpackError
from aotpack.native.launcher import fastest_sha256
from aotpack_doctor.base.places import DESCRIPTION
from aotpack_doctor.facts import FaultKind, Host
from aotpack_doctor.reading.bundle import compare_contents, read_bundle


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with one file."""

    path: str
    what: str


@dataclass(frozen=True)
class Report:
    """What a check found."""

    bundle: Bundle
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()


def check_static(folder: Path, progress: Callable[[int], None] = lambda _done: None) -> Report:
    """Check every file, link and ELF header. Raises as `load_bundle` does, and AotpackError when this process ran out
    of memory or open files before all was looked at."""
    bundle = load_bundle(folder)
    found = compare_contents(read_bundle(str(folder), Host())[0], progress, fastest_sha256())
    problems = [Problem(DESCRIPTION, found.problem)] if found.problem else []
    for fault in found.faults:
        if fault.kind is FaultKind.SHORTAGE:
            raise AotpackError(
                f"{folder}: {fault.path} {fault.what}",
                meaning="this process may have no more memory or open files; of the bundle this says nothing",
                fix="ulimit -a shows the limits of this shell, free -m the memory there is",
            )
        problems.append(Problem(fault.path, fault.what))
    notes = () if bundle.portable else ("a development bundle: it links to this machine and does not travel",)
    return Report(bundle, tuple(problems), notes)
