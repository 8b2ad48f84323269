"""Reads a bundle that is one file. Its libraries and folders were looked at when it was packed, so what remains is
whether all is there as it was sealed."""

from __future__ import annotations

import os
from typing import Iterator

from aotpack_doctor.base import frame, single_file
from aotpack_doctor.base.places import DESCRIPTION, MODELS, is_signature
from aotpack_doctor.facts import Bundle, Fault, FaultKind, Model
from aotpack_doctor.reading.description import Description, read_description
from aotpack_doctor.reading.materials import unlicensed
from aotpack_doctor.reading.models import read_model


def place_of(bundle: str, name: str) -> tuple[str, int | None]:
    """The file that a part of a bundle lies in, and where in it: None for all of it, as in a folder."""
    found = single_file.inside(os.path.join(bundle, name)) if os.path.isfile(bundle) else None
    entry = None if found is None else found[0].entries.get(name)
    if entry is None or entry.offset is None:
        return os.path.join(bundle, name), None
    return bundle, entry.offset


def read_single_file(path: str) -> tuple[Bundle, tuple[Model, ...]]:
    """A bundle and its models. Contents are not read."""
    try:
        file = single_file.SingleFile(path)
        description, problem = read_description(path)
    except (ValueError, OSError) as error:
        return Bundle(path, problem=f"{path} {error}", is_single=True), ()
    if description is None:
        return Bundle(path, problem=problem, is_single=True), ()
    bundle = description.facts(path, problem)._replace(
        faults=tuple(_faults(file, description)),
        unlicensed=unlicensed(path),
        is_single=True,
    )
    return bundle, tuple(
        read_model(name, record, os.path.join(path, MODELS, name), frozenset())
        for name, record in description.models.items()
    )


def frame_problem(path: str, description: Description) -> str | None:
    """What is wrong between the files of a single file whose contents are as sealed: all of it follows from them."""
    try:
        file = single_file.SingleFile(path)
        beside = [(name, entry.size) for name, entry in file.entries.items() if frame.is_unlisted(name)]
        entries = frame.listed(description.files, beside)
        if frame.unlisted_digest(path, entries) != file.digest:
            return f"{path} was changed in its {DESCRIPTION}, or in a signature, since it was packed"
        difference = frame.first_difference(file, frame.segments(path, entries, description.machine))
    except (ValueError, OSError, RecursionError) as error:
        return f"{path} is not what could be packed of its files: {error}"
    if difference is None:
        return None
    start, end = difference
    return (
        f"{path} was changed between its files, in bytes {start} to {end - 1}: in how it starts, not in what it holds"
    )


def _faults(file: single_file.SingleFile, description: Description) -> Iterator[Fault]:
    known = {DESCRIPTION}
    for record in description.files:
        known.add(record.path)
        entry = file.entries.get(record.path)
        if entry is None:
            yield Fault(record.path, "is missing", FaultKind.MISSING)
        elif record.link != entry.link or (record.link is None and entry.offset is None):
            yield Fault(record.path, "is another kind of thing than was sealed", FaultKind.CHANGED)
        elif record.link is None and entry.size != record.size:
            yield Fault(record.path, f"has {entry.size} bytes instead of {record.size}", FaultKind.CHANGED)
    for path, entry in file.entries.items():
        is_folder = entry.offset is None and entry.link is None
        if path not in known and not is_folder and not is_signature(path):
            yield Fault(path, "is not part of the bundle", FaultKind.FOREIGN)
