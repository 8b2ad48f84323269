"""What travels with a model: names that stay inside, and facts that are small."""

from __future__ import annotations

from pathlib import Path

import pytest

from aotpack.bundle.assets import check_assets, check_metadata, parse_value
from aotpack.errors import UsageError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "words" / "deep").mkdir(parents=True)
    for name in ("labels.txt", "words/a.json", "words/deep/b.json"):
        (tmp_path / name).touch()
    return tmp_path


def test_a_folder_is_its_files(folder: Path) -> None:
    assert check_assets([("tok", folder / "words"), ("labels.txt", folder / "labels.txt")]) == (
        ("labels.txt", folder / "labels.txt"),
        ("tok/a.json", folder / "words" / "a.json"),
        ("tok/deep/b.json", folder / "words" / "deep" / "b.json"),
    )


@pytest.mark.parametrize(
    "name",
    ["", "/etc/passwd", "../x", "a/../b", "a//b", "a/", ".hidden", "a/.git", "a\\b", "a\nb", "ä", "a" * 101, "-x"],
)
def test_names_that_could_lead_elsewhere(folder: Path, name: str) -> None:
    with pytest.raises(UsageError, match="cannot be an asset's name") as caught:
        check_assets([(name, folder / "labels.txt")])
    assert caught.value.fix.startswith("--asset NAME=")


def test_one_name_for_two_things(folder: Path) -> None:
    labels = folder / "labels.txt"
    with pytest.raises(UsageError, match="another asset has this name"):
        check_assets([("a", labels), ("a", folder / "words" / "a.json")])
    with pytest.raises(UsageError, match="a is an asset as well"):
        check_assets([("a/b", labels), ("a", labels)])


def test_what_is_no_file(folder: Path) -> None:
    with pytest.raises(UsageError, match="is not there"):
        check_assets([("a", folder / "none")])
    (folder / "words" / "gone").symlink_to("nowhere")
    with pytest.raises(UsageError, match="is not there"):
        check_assets([("a", folder / "words")])


def test_nothing_is_left_out_without_a_word(folder: Path) -> None:
    (folder / "empty").mkdir()
    with pytest.raises(UsageError, match="a folder without files"):
        check_assets([("a", folder / "empty")])
    (folder / "words" / "linked").symlink_to(folder / "empty")
    with pytest.raises(UsageError, match=r"--asset a/linked=.*a link to a folder"):
        check_assets([("a", folder / "words")])


def test_facts_are_plain_values_in_order() -> None:
    assert check_metadata({"b": 1.5, "a": "text", "c": True}) == (("a", "text"), ("b", 1.5), ("c", True))


@pytest.mark.parametrize(
    "asked",
    [{"": 1}, {"a b": 1}, {"a": [1]}, {"a": None}, {"a": float("nan")}, {"a": 2**63}, {"a": "x" * 20_000}],
)
def test_what_is_no_fact(asked: dict[str, object]) -> None:
    with pytest.raises(UsageError) as caught:
        check_metadata(asked)
    assert "asset" in caught.value.fix


def test_values_of_the_command_line() -> None:
    assert [parse_value(text) for text in ("16000", "0.5", "true", "text", '"5"', "[1]", "")] == [
        16000,
        0.5,
        True,
        "text",
        "5",
        "[1]",
        "",
    ]
