"""Weights of a bundle's models that are there once."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import pytest

from aotpack.building.weights import share
from aotpack.bundle.entries import Entry, Member, Part
from aotpack.bundle.inputs import PlannedModel
from aotpack.bundle.writing import write_entries
from aotpack.package.metadata import Constant, ModelMetadata
from aotpack.runtime.slim_weights import Layout, Packing

MEMBER = "m/data/aotinductor/model/m.wrapper_weights.blob"


def packing(begin: int) -> Packing:
    """Of a weight of 16 x 2."""
    given = Layout(4, (16, 2), (16, 2), (16, 8), (8,), (0,))
    return Packing(begin, given, Layout(4, (16, 2), (16, 2), (32, 16), (16,), (0,)), 0, 1)


def content(word: str, size: int = 128) -> bytes:
    """Bytes that begin and end alike whatever the word, so that a look at the ends does not do."""
    middle = hashlib.sha256(word.encode()).digest()
    return b"begin".ljust(size // 2 - 32, b"-") + middle + b"end".rjust(size - size // 2, b"-")


def model(folder: Path, name: str, *words: str, size: int = 128, **more: object) -> PlannedModel:
    """A model whose weights are these, each of `size` bytes."""
    archive = folder / f"{name}.pt2"
    with zipfile.ZipFile(archive, "w") as target:
        target.writestr(MEMBER, b"".join(content(word, size) for word in words))
    constants = tuple(Constant((size,), begin=index * size, size=size) for index in range(len(words)))
    return PlannedModel(name, ModelMetadata(constants=constants), archive, ((MEMBER, "weights.blob"),), **more)  # type: ignore[arg-type]


def written(model: PlannedModel, folder: Path) -> bytes:
    place = f"models/{model.name}/weights.blob"
    member = Member(model.archive, MEMBER, ranges=model.ranges)
    write_entries(folder, [Entry(place, Part.MODEL, "", member)], lambda _done: None)
    return (folder / place).read_bytes()


def words_of(model: PlannedModel, files: dict[str, bytes], words: tuple[str, ...]) -> list[str]:
    """What a reader of the bundle finds for each constant."""
    found = []
    for constant in model.metadata.constants:
        file = model.metadata.weights[constant.file]
        name = model.name if file == "weights.blob" else file.split("/")[1]
        begin, size = constant.begin or 0, constant.size or 0
        data = files[name][begin : begin + size]
        found.append(next(word for word in words if content(word, size) == data))
    return found


@pytest.mark.parametrize("size", [128, 16384])
def test_models_of_one_backbone(tmp_path: Path, size: int) -> None:
    first = model(tmp_path, "first", "a", "b", "head", size=size)
    second = model(tmp_path, "second", "c", "a", "b", "c", size=size)
    shared = share([first, second])
    assert shared[0] == first, "the first one of a bundle lies as in its package"
    assert shared[1].metadata.weights == ("weights.blob", "../first/weights.blob")
    files = {each.name: written(each, tmp_path) for each in shared}
    assert files["second"] == content("c", size) * 2, "a call may change one of the two that a model has"
    assert words_of(shared[0], files, ("a", "b", "head")) == ["a", "b", "head"]
    assert words_of(shared[1], files, ("a", "b", "c")) == ["c", "a", "b", "c"]


def test_what_a_model_has_twice_it_has_at_two_places(tmp_path: Path) -> None:
    """The keys of a cache are as empty as its values, and as a bias of zeros, before the first call changes them."""
    alone = model(tmp_path, "alone", "bias", "empty", "empty", "empty")
    assert share([alone]) == (alone,)
    _, second = share([alone, model(tmp_path, "second", "empty", "empty", "bias", "empty", "empty")])
    assert second.metadata.weights == ("weights.blob", "../alone/weights.blob")
    assert [(each.file, each.begin) for each in second.metadata.constants] == [
        (1, 128),
        (1, 256),
        (1, 0),
        (1, 384),
        (0, 0),
    ]


def test_a_model_without_any_of_its_own_has_no_file(tmp_path: Path) -> None:
    _, second = share([model(tmp_path, "first", "a", "b"), model(tmp_path, "second", "b")])
    assert second.ranges == ()
    assert second.metadata.weights == ("../first/weights.blob",)
    assert second.metadata.constants[0].begin == 128


def test_what_the_runtime_packs_otherwise_is_another_weight(tmp_path: Path) -> None:
    plain = model(tmp_path, "plain", "a")
    packed = model(tmp_path, "packed", "a", packings=(packing(0),))
    moved = model(tmp_path, "moved", "b", "a", packings=(packing(128),))
    _, second, third = share([plain, packed, moved])
    assert second == packed
    assert third.metadata.weights == ("weights.blob", "../packed/weights.blob")
    assert third.packings == ()


def test_packings_move_with_their_weights(tmp_path: Path) -> None:
    first = model(tmp_path, "first", "a")
    second = model(tmp_path, "second", "a", "b", packings=(packing(128),))
    moved = share([first, second])[1]
    assert moved.ranges == ((128, 128),)
    assert [each.begin for each in moved.packings] == [0]


def test_a_package_that_does_not_say_where_its_weights_lie_stays_as_it_is(tmp_path: Path) -> None:
    older = model(tmp_path, "older", "a")
    older = PlannedModel("older", ModelMetadata(constants=(Constant((128,)),)), older.archive, older.members)
    assert share([model(tmp_path, "first", "a"), older])[1] == older


def test_models_that_have_nothing_in_common_stay_as_they_are(tmp_path: Path) -> None:
    models = (model(tmp_path, "first", "a", "b"), model(tmp_path, "second", "c"))
    assert share(models) == models
