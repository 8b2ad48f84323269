"""Reads a bundle against its own description, for `aotpack verify` and both doctors. Nothing of the bundle is run."""

from __future__ import annotations

import contextlib
import os
import stat
from typing import Callable

from aotpack_doctor.base import hashing
from aotpack_doctor.base.places import DESCRIPTION, LIB, MODELS
from aotpack_doctor.facts import Bundle, Fault, FaultKind, Host, Model
from aotpack_doctor.reading import bundle_files, single
from aotpack_doctor.reading.description import Description, read_description
from aotpack_doctor.reading.host import mount_of
from aotpack_doctor.reading.materials import unlicensed
from aotpack_doctor.reading.models import disagreements, exports_shim, read_model, shim_of
from aotpack_doctor.reading.rocm import read_rocm_tree

#: Bytes that a fast disk reads while the doctor looks at a bundle's ELF headers.
_ANNOUNCED = 1 << 28
#: What makes the content of a file not worth comparing.
_KNOWN = (*(FaultKind.MISSING, FaultKind.CHANGED, FaultKind.UNREADABLE, FaultKind.OUTSIDE_LINK, FaultKind.SHORTAGE),)


def read_bundle(path: str, host: Host, root: str = "/") -> tuple[Bundle, tuple[Model, ...]]:
    """A bundle and its models. Contents are not read (see `compare_contents`), only sizes and ELF headers.

    Args:
        path: its folder, or the file that it is.
        host: the machine, for what of it would interfere.
        root: where the machine's file system is.
    """
    if os.path.isfile(path):
        return single.read_single_file(path)
    try:
        description, problem = read_description(path)
    except OSError as error:
        fault = bundle_files.fault_of(DESCRIPTION, error)
        if fault.kind in (FaultKind.CHANGED, FaultKind.MISSING):
            return Bundle(path, problem=f"{DESCRIPTION} {fault.what}"), ()
        return Bundle(path, faults=(fault,)), ()
    if description is None:
        return Bundle(path, problem=problem), ()
    point, options = mount_of(path, root)
    faults, elves = bundle_files.look(path, description, noexec="noexec" in options)
    needs = bundle_files.needs(elves, {record.path for record in description.files})
    bundle = description.facts(path, problem)._replace(
        faults=(*faults, *disagreements(path, description), *bundle_files.shadowed(elves, host)),
        noexec=point if "noexec" in options else None,
        rocm=read_rocm_tree(os.path.join(path, LIB)) if description.backend == "rocm" else None,
        edges=tuple((name, provider or needed) for name, needed, provider in needs),
        unlicensed=unlicensed(path),
    )
    # What a runtime that is not itself lacks is no news.
    broken = bundle.faults_of(FaultKind.MISSING, FaultKind.CHANGED, FaultKind.OUTSIDE_LINK, FaultKind.DANGLING)
    whole = not any(exports_shim(fault.path) for fault in broken)
    runtime = shim_of(os.path.join(path, LIB)) if whole else frozenset()
    return bundle, tuple(
        read_model(name, record, os.path.join(path, MODELS, name), runtime)
        for name, record in description.models.items()
    )


def compare_contents(
    bundle: Bundle, progress: Callable[[int], None], by: hashing.Implementation = hashing.PYTHONS
) -> Bundle:
    """The bundle with the faults of those files whose SHA-256 is not what was sealed, and of a single file with what is
    wrong between them. Works at disk speed.

    Args:
        bundle: from `read_bundle`.
        progress: called with the bytes just done.
        by: computes the hashes.
    """
    description = _description(bundle.path)
    known = {fault.path for fault in bundle.faults_of(*_KNOWN)}
    sealed = {}
    for record in description.files if description else ():
        if record.link is None and record.path not in known:
            path, begin = single.place_of(bundle.path, record.path)
            # What is a vendor's is held against the vendor's own hash, which is one of the whole file.
            pieces = () if record.wheel_sha256 else record.pieces
            sealed[record.path] = hashing.sealed(path, record.size, record.sha256, pieces, begin)
    faults: list[Fault] = []
    found = hashing.sha256_of_all([part for expected in sealed.values() for part in expected], progress, by)
    for name, expected in sealed.items():
        difference = hashing.first_difference(expected, found)
        if isinstance(difference, OSError):
            faults.append(bundle_files.fault_of(name, difference))
        elif difference:
            where, actual, digest = difference
            what = f"has another content: SHA-256{where} {actual[:12]}..., sealed {digest[:12]}..."
            faults.append(Fault(name, what, FaultKind.CHANGED))
    bundle = bundle._replace(faults=(*bundle.faults, *faults))
    if bundle.is_single and description and not bundle.problem and not bundle.faults_of(*_KNOWN):
        return bundle._replace(problem=single.frame_problem(bundle.path, description))
    return bundle


def announce_contents(path: str) -> None:
    """Let the disk read the first of what `compare_contents` will want, while there is something else to do. The kernel
    keeps it as long as it has memory to spare; all this is a hint, so that nothing that is wrong matters here."""
    sizes: list[tuple[int, str]] = []
    for folder, _folders, names in os.walk(path):
        for name in names:
            with contextlib.suppress(OSError):
                status = os.lstat(os.path.join(folder, name))
                if stat.S_ISREG(status.st_mode):
                    sizes.append((status.st_size, os.path.join(folder, name)))
    left = _ANNOUNCED
    for size, name in sorted(sizes, reverse=True):  # the largest first, as they are hashed
        if left <= 0:
            break
        with contextlib.suppress(OSError), open(name, "rb", buffering=0) as stream:
            os.posix_fadvise(stream.fileno(), 0, min(size, left), os.POSIX_FADV_WILLNEED)
        left -= size


def is_as_sealed(folder: str, name: str) -> bool:
    """Whether a file of a bundle has the content that was sealed: to be asked before it is loaded into this process,
    which a damaged library may kill."""
    description = _description(folder)
    record = description.record_of(name) if description else None
    if record is None:
        return False
    path, begin = single.place_of(folder, name)
    part = hashing.Range(path) if begin is None else hashing.Range(path, begin, record.size)
    return hashing.sha256_of_all([part], lambda _done: None)[part] == record.sha256


def _description(folder: str) -> Description | None:
    try:
        return read_description(folder)[0]
    except (OSError, ValueError):
        return None  # that is told of by `read_bundle`
