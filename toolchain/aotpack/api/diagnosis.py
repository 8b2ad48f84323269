"""`aotpack.doctor`: what is wrong, what it means and what to type."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from aotpack.backend import Backend
from aotpack.diagnosing import build_machine
from aotpack.errors import DamagedError
from aotpack.native.launcher import fastest_sha256
from aotpack.progress.choosing import Progress, reporter_for
from aotpack.verifying.unpacked import as_folder
from aotpack_doctor.facts import Bundle, HostFacts
from aotpack_doctor.findings import finding
from aotpack_doctor.findings.catalog import examine
from aotpack_doctor.findings.finding import Finding
from aotpack_doctor.reading.bundle import announce_contents, compare_contents


@dataclass(frozen=True)
class Diagnosis:
    """What was seen, and what of it is worth a word.

    Attributes:
        facts: of this machine, its tools, its torch, and what else was looked at.
        findings: each with a code that never changes (docs/doctor.md).
    """

    facts: HostFacts
    findings: tuple[Finding, ...]

    @property
    def exit_code(self) -> int:
        """0 without errors, else that of the worst class."""
        return finding.exit_code(list(self.findings))

    def html(self, *, with_names: bool = False) -> str:
        """A self-contained page; `with_names` leaves home folder, host and user name in it."""
        from aotpack.diagnosing import html_report

        return html_report.page(self.facts, list(self.findings), with_names=with_names)


def doctor(
    *,
    backend: str | None = None,
    models: Iterable[str | os.PathLike[str]] = (),
    bundle: str | os.PathLike[str] | None = None,
    venv: str | os.PathLike[str] | None = None,
    quick: bool = False,
    key: str | os.PathLike[str] | None = None,
    progress: Progress = None,
) -> Diagnosis:
    """Look at this machine, its tools and its torch, and at packages and a bundle.

        for found in aotpack.doctor(bundle="dist/mlp").findings:
            print(found.kind.code, found.seen)

    Args:
        backend: what is to be built: `cpu`, `cuda` or `rocm`.
        models: packages to look at.
        bundle: a bundle to look at.
        venv: where torch is.
        quick: do not compare the bundle's files with their hashes; with a key they are, since it signs them.
        key: a public key; ask for a signature of the bundle by its private half (`pip install 'aotpack[release]'`).
        progress: as for `aotpack.export`.

    Raises:
        AotpackError: one of its subclasses, for what cannot be looked at; what is found to be wrong is a finding.
    """
    folder = None if bundle is None else Path(bundle)
    compares = key is not None or not quick
    if folder is not None and compares:
        announce_contents(str(folder))
    facts = build_machine.read_facts(
        backend=Backend(backend) if backend else None,
        models=tuple(map(Path, models)),
        bundle=folder,
        venv=None if venv is None else Path(venv),
    )
    if facts.bundle is not None and compares:
        # The slow part comes last.
        total = sum(size for _path, _part, size in facts.bundle.sizes)
        with reporter_for(progress).bytes(f"comparing contents of {total / 1e6:.1f} MB", total) as done:
            facts = facts._replace(bundle=compare_contents(facts.bundle, done, fastest_sha256()))
    if facts.bundle is not None and key is not None:
        facts = facts._replace(bundle=_with_signature(facts.bundle, Path(key)))
    return Diagnosis(facts, tuple(examine(facts)))


def _with_signature(bundle: Bundle, key: Path) -> Bundle:
    from aotpack.release import signing

    try:
        with as_folder(Path(bundle.path)) as folder:
            return bundle._replace(signed=signing.verify(folder, key=key).name)
    except DamagedError as error:
        return bundle._replace(unsigned=error.what)
