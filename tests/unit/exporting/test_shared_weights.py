"""Weights of several variants in one file."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from aotpack.exporting.worker.variants.shared_weights import merge


def described(*constants: dict[str, Any], layouts: tuple[str, ...] = (), rows: int | None = None) -> dict[str, Any]:
    begin = 0
    placed = []
    packed = []
    for index, constant in enumerate(constants):
        placed.append({"shape": [2], "offset": 0, "size": 64, **constant, "begin": begin})
        if "layout" in constant:
            entry = {"constant": index, "begin": begin}
            packed.append(entry if rows is None else {**entry, "rows": rows})
        begin += placed[-1]["size"]
    return {"constants": placed, "layouts": list(layouts), "packed_weights": packed}


def blob(folder: Path, name: str, *contents: str) -> Path:
    """64 bytes for each word."""
    path = folder / name
    path.write_bytes(b"".join(hashlib.sha512(word.encode()).digest() for word in contents))
    return path


def test_what_is_the_same_is_there_once(tmp_path: Path) -> None:
    first = blob(tmp_path, "first", "a", "b")
    second = blob(tmp_path, "second", "b", "c", "a", "c")
    merged, chosen = merge([described({}, {}), described({}, {}, {}, {})], [first, second])
    assert chosen == [[0, 1], [1, 2, 0, 3]]
    assert [constant["begin"] for constant in merged["constants"]] == [0, 64, 128, 192]
    assert first.read_bytes() == blob(tmp_path, "expected", "a", "b", "c", "c").read_bytes()


def test_what_a_variant_has_twice_it_has_at_two_places(tmp_path: Path) -> None:
    """A call may change one of the two, such as the keys of a cache that are as empty as its values at first."""
    blobs = [blob(tmp_path, name, "a", "keys", "keys") for name in ("first", "second")]
    blobs.append(blob(tmp_path, "third", "keys", "a", "keys"))
    merged, chosen = merge([described({}, {}, {}) for _ in blobs], list(blobs))
    assert chosen == [None, None, [1, 0, 2]]
    assert len(merged["constants"]) == 3


def test_the_first_variant_keeps_what_it_has_twice(tmp_path: Path) -> None:
    """torch itself reads its file from the beginning to the end."""
    first = blob(tmp_path, "first", "a", "a")
    merged, chosen = merge([described({}, {}), described({})], [first, blob(tmp_path, "second", "a")])
    assert chosen == [None, [0]]
    assert len(merged["constants"]) == 2
    assert first.stat().st_size == 128


def test_variants_with_the_same_weights_need_no_list(tmp_path: Path) -> None:
    blobs = [blob(tmp_path, name, "a", "b") for name in ("first", "second", "third")]
    merged, chosen = merge([described({}, {})] * 3, list(blobs))
    assert chosen == [None, None, None]
    assert len(merged["constants"]) == 2


def test_the_same_bytes_in_another_shape_or_layout_are_another_constant(tmp_path: Path) -> None:
    first = blob(tmp_path, "first", "a", "b")
    one = described({}, {"layout": 0}, layouts=("aa",), rows=1)
    other = described({"shape": [1, 2]}, {"layout": 1}, {"layout": 0}, layouts=("bb", "aa"), rows=1)
    merged, chosen = merge([one, other], [first, blob(tmp_path, "second", "a", "b", "b")])
    assert chosen == [[0, 1], [2, 1, 3]]
    assert merged["layouts"] == ["aa", "bb"]
    assert merged["constants"][3]["layout"] == 1
    assert merged["packed_weights"] == [
        {"constant": 1, "begin": 64, "rows": 1},
        {"constant": 3, "begin": 192, "rows": 1},
    ]


def test_what_convolutions_multiply_by_is_known_by_its_content(tmp_path: Path) -> None:
    wide, narrow = ({"layout": 0, "convolution": {"stride": [stride]}} for stride in (2, 1))
    one, other = (described({}, wide, layouts=("aa",)), described(wide, narrow, layouts=("aa",)))
    blobs = [blob(tmp_path, "first", "a", "b"), blob(tmp_path, "second", "b", "b")]
    merged, chosen = merge([one, other], list(blobs))
    assert chosen == [[0, 1], [1, 2]]
    digest = hashlib.sha256(hashlib.sha512(b"b").digest()).hexdigest()
    assert [constant.get("sha256") for constant in merged["constants"]] == [None, digest, digest]
    assert [constant.get("convolution") for constant in merged["constants"]] == [
        None,
        wide["convolution"],
        narrow["convolution"],
    ]


def test_weights_inside_the_libraries_are_not_looked_at(tmp_path: Path) -> None:
    one = described({})
    merged, chosen = merge([one, one], [None, None])
    assert merged == one
    assert chosen == [None, None]
