"""`aotpack.verify`: is a bundle whole, whose is it, and does it run?"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from aotpack.bundle.manifest import Bundle, load_bundle
from aotpack.errors import DamagedError
from aotpack.progress.choosing import Progress, reporter_for
from aotpack.verifying import run as running
from aotpack.verifying import static
from aotpack.verifying.digest import check_digest
from aotpack.verifying.run import RunResult
from aotpack.verifying.static import Problem
from aotpack.verifying.unpacked import as_folder


@dataclass(frozen=True)
class Verification:
    """What was found.

    Attributes:
        path: the bundle.
        description: its `bundle.json`.
        problems: what is not as it was built; empty for a whole bundle.
        notes: what to know of it, one sentence each.
        signature: the file of the signature that was checked.
        run: what each model did, where `run` was asked for.
    """

    path: Path
    description: Bundle
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()
    signature: Path | None = None
    run: RunResult | None = None

    @property
    def digest(self) -> str:
        """`sha256:...` of the description, which lists the hash of every file."""
        return f"sha256:{self.description.digest}"

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(record.size for record in self.description.files)

    def raise_for_problems(self) -> None:
        """Raise DamagedError unless the bundle is whole."""
        if not self.problems:
            return
        shown = [f"{problem.path}: {problem.what}" for problem in self.problems]
        raise DamagedError(
            f"{self.path}: {shown[0]}" + (f" (and {len(shown) - 1} more)" if shown[1:] else ""),
            meaning="the bundle is not what was built, so it is not safe to run",
            fix="copy it again (cp -a, rsync -a, tar), or build it again",
            detail="\n".join(shown[1:]),
        )


def verify(
    bundle: str | os.PathLike[str],
    *,
    run: bool = False,
    key: str | os.PathLike[str] | None = None,
    certificate_chain: Iterable[str | os.PathLike[str]] = (),
    sigstore: tuple[str, str] | None = None,
    digest: str | None = None,
    progress: Progress = None,
) -> Verification:
    """Check a bundle, and with `run` prove it by a real inference.

        aotpack.verify("dist/mlp", run=True)

    Args:
        bundle: the folder, or the single file.
        run: run every model on its recorded sample in a root that holds the bundle and nothing else.
        key: public key; ask for a signature by its private half.
        certificate_chain: certificates; ask for a signature by one that they vouch for.
        sigstore: identity and identity provider; ask for a signature by them through Sigstore, which needs the network.
        digest: `sha256:...`; ask for the bundle of this digest.
        progress: as for `aotpack.export`.

    Raises:
        DamagedError: something is not what was built, signed or asked for.
        AotpackError: its other subclasses, as the exit codes say.
    """
    found = examine(
        bundle,
        run=run,
        key=key,
        certificate_chain=certificate_chain,
        sigstore=sigstore,
        digest=digest,
        progress=progress,
    )
    found.raise_for_problems()
    return found


def examine(
    bundle: str | os.PathLike[str],
    *,
    run: bool = False,
    key: str | os.PathLike[str] | None = None,
    certificate_chain: Iterable[str | os.PathLike[str]] = (),
    sigstore: tuple[str, str] | None = None,
    digest: str | None = None,
    progress: Progress = None,
) -> Verification:
    """As `verify`, but files that are not as they were built are returned. Nothing of such a bundle is run."""
    folder = Path(bundle)
    reporter = reporter_for(progress)
    description = load_bundle(folder)
    if digest is not None:
        check_digest(folder, description, digest)
    total = sum(record.size for record in description.files)
    with reporter.bytes(f"checking {len(description.files)} files of {total / 1e6:.1f} MB", total) as done:
        report = static.check_static(folder, done)
    if report.problems:
        return Verification(folder, report.bundle, report.problems, report.notes)
    signature = None
    chain = tuple(map(Path, certificate_chain))
    if key is not None or chain or sigstore is not None:
        from aotpack.release import signing

        with reporter.step("checking the signature"), as_folder(folder) as unpacked:
            if sigstore is not None:
                signature = signing.verify_by_sigstore(unpacked, *sigstore)
            else:
                signature = signing.verify(unpacked, key=None if key is None else Path(key), chain=chain)
    result = None
    if run:
        with reporter.step("running every model"), as_folder(folder) as unpacked:
            result = running.check_run(unpacked, report.bundle)
    return Verification(folder, report.bundle, (), (*report.notes, *_unlicensed(folder)), signature, result)


def _unlicensed(bundle: Path) -> list[str]:
    """What of the bill of materials a lawyer would ask about."""
    from aotpack_doctor.reading.materials import unlicensed

    names = unlicensed(str(bundle))
    return [f"nothing says under which licence these are: {', '.join(names)}"] if names else []
