"""Each weight of a bundle once: what several models have is found by its content.

A model's file of weights holds what no model before it has; the rest it takes from their files, which lie beside it in
the bundle. Two models with one backbone, or the same model in two packages, cost what they differ in.

What one model has several times stays as often: a call may change one of them, such as the keys of a cache that are as
empty as its values at first, and the others must not change with it. Between models nothing changes, as each maps the
files for itself.
"""

from __future__ import annotations

import hashlib
import posixpath
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import IO

import msgspec

from aotpack.bundle.inputs import PlannedModel
from aotpack.package.archive import open_archive
from aotpack.package.metadata import WEIGHTS, Constant
from aotpack.runtime.slim_weights import Packing

#: So many bytes of each end tell most weights of one size apart; who is alike in them is read as a whole.
_PROBE = 4096
_CHUNK = 4 << 20


@dataclass(frozen=True)
class _Piece:
    """A weight of a package."""

    model: int
    begin: int
    size: int
    #: What the runtime does with it.
    packing: Packing | None


@dataclass(frozen=True)
class _Place:
    """Where a weight lies in the bundle."""

    model: int
    begin: int


def share(models: Sequence[PlannedModel]) -> tuple[PlannedModel, ...]:
    """The models with weights that are there once. Raises DamagedError for a package whose weights cannot be read."""
    pieces = [list(_pieces(number, model)) for number, model in enumerate(models)]
    contents = _contents(models, [piece for own in pieces for piece in own])
    known: dict[object, _Place] = {}
    result = []
    for number, (model, own) in enumerate(zip(models, pieces, strict=True)):
        places: dict[tuple[int, int], _Place] = {}
        ranges: list[tuple[int, int]] = []
        packings: list[Packing] = []
        end = 0
        copies: Counter[object] = Counter()
        for piece in own:
            content = contents.get(piece, piece)
            key = (content, copies[content])
            copies[content] += 1
            if key not in known:
                known[key] = _Place(number, end)
                ranges.append((piece.begin, piece.size))
                if piece.packing is not None:
                    packings.append(replace(piece.packing, begin=end))
                end += piece.size
            places[piece.begin, piece.size] = known[key]
        moved = any((place.model, place.begin) != (number, begin) for (begin, _), place in places.items())
        if not moved:
            result.append(model)
            continue
        files, constants = _placed(number, models, places)
        metadata = msgspec.structs.replace(model.metadata, weights=files, constants=constants, packed_weights=())
        result.append(replace(model, metadata=metadata, ranges=tuple(ranges), packings=tuple(packings)))
    return tuple(result)


def _pieces(number: int, model: PlannedModel) -> Iterator[_Piece]:
    """The weights in the order of the package's file; none where it does not say where each one lies."""
    places = {(constant.begin, constant.size) for constant in model.metadata.constants}
    if _member_of(model) is None or any(None in place for place in places):
        return
    packings = {packing.begin: packing for packing in model.packings}
    for begin, size in sorted((begin, size) for begin, size in places if begin is not None and size):
        packing = packings.get(begin)
        yield _Piece(number, begin, size, packing)


def _member_of(model: PlannedModel) -> str | None:
    return next((member for member, name in model.members if name == WEIGHTS), None)


def _placed(
    number: int, models: Sequence[PlannedModel], places: Mapping[tuple[int, int], _Place]
) -> tuple[tuple[str, ...], tuple[Constant, ...]]:
    """The files of a model's weights, relative to its folder, and where each constant lies in them."""
    owners = sorted({place.model for place in places.values()}, key=lambda owner: (owner != number, owner))
    files = tuple(WEIGHTS if owner == number else _path_to(models[owner].name, models[number].name) for owner in owners)
    constants = []
    for constant in models[number].metadata.constants:
        if not constant.size:
            constants.append(msgspec.structs.replace(constant, begin=0))
            continue
        place = places[constant.begin or 0, constant.size]
        constants.append(msgspec.structs.replace(constant, begin=place.begin, file=owners.index(place.model)))
    return files or (WEIGHTS,), tuple(constants)


def _path_to(owner: str, user: str) -> str:
    """From a model's folder to another's file of weights."""
    return posixpath.relpath(f"{owner}/{WEIGHTS}", user)


def _contents(models: Sequence[PlannedModel], pieces: Sequence[_Piece]) -> dict[_Piece, object]:
    """What tells the content of weights that may be alike; those that are like no other are not in it."""
    probes: dict[_Piece, bytes] = {}
    digests: dict[_Piece, object] = {}
    sizes = Counter(piece.size for piece in pieces)
    suspects = [piece for piece in pieces if sizes[piece.size] > 1]
    for piece, stream in _streams(models, suspects):
        probes[piece] = _probe(stream, piece)
    alike = Counter((piece.size, probe) for piece, probe in probes.items())
    suspects = [piece for piece in suspects if alike[piece.size, probes[piece]] > 1]
    for piece, stream in _streams(models, suspects):
        how = None if piece.packing is None else replace(piece.packing, begin=0)
        digests[piece] = (piece.size, _digest(stream, piece), how)
    return digests


def _streams(models: Sequence[PlannedModel], pieces: Sequence[_Piece]) -> Iterator[tuple[_Piece, IO[bytes]]]:
    """Each piece with its package's file of weights."""
    for number in sorted({piece.model for piece in pieces}):
        member = _member_of(models[number])
        with open_archive(models[number].archive) as archive, archive.open_seekable(member or "") as stream:
            for piece in pieces:
                if piece.model == number:
                    yield piece, stream


def _probe(stream: IO[bytes], piece: _Piece) -> bytes:
    stream.seek(piece.begin)
    first = stream.read(min(_PROBE, piece.size))
    stream.seek(piece.begin + max(piece.size - _PROBE, 0))
    return hashlib.sha256(first + stream.read(min(_PROBE, piece.size))).digest()


def _digest(stream: IO[bytes], piece: _Piece) -> bytes:
    digest = hashlib.sha256()
    stream.seek(piece.begin)
    left = piece.size
    while left > 0 and (chunk := stream.read(min(left, _CHUNK))):
        digest.update(chunk)
        left -= len(chunk)
    return digest.digest()
