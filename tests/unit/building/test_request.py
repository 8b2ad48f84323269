"""What a user asks of a build, order_of before anything is read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from aotpack.backend import Backend
from aotpack.building import output_folder
from aotpack.building.request import BuildRequest, NamedModel, order_of
from aotpack.errors import UsageError


def request(output: Path, *models: tuple[str | None, Path]) -> BuildRequest:
    return BuildRequest(backend=Backend.CPU, output=output, models=models)


def test_relative_paths_mean_different_files_in_different_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a build in another folder would find the first one's bundle up to date."""
    asked = request(Path("/dist/mlp"), (None, Path("mlp.pt2")))
    seen = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        seen.append(order_of(asked).models)
    assert seen == [(NamedModel("mlp", tmp_path / name / "mlp.pt2"),) for name in ("a", "b")]


@pytest.mark.parametrize("text", ["link", "link/", "disk/other/../mlp", "./link"])
def test_the_output_is_the_real_folder(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "disk" / "mlp").mkdir(parents=True)
    (tmp_path / "link").symlink_to("disk/mlp")
    monkeypatch.chdir(tmp_path)
    assert order_of(request(Path(text))).output == tmp_path / "disk" / "mlp"


def test_links_in_a_circle_are_no_folder(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    order = order_of(request(tmp_path / "loop"))
    with pytest.raises(UsageError, match="is a link and not a folder"):
        output_folder.check(order.output, force=False)


@pytest.mark.parametrize("name", ["../x", ".hidden", "a/b", "a b", "x" * 101])
def test_names_that_are_no_folder_names(name: str) -> None:
    with pytest.raises(UsageError, match="cannot be a model's name"):
        order_of(request(Path("/dist"), (name, Path("mlp.pt2"))))


def test_one_name_twice() -> None:
    with pytest.raises(UsageError, match="is taken by another"):
        order_of(request(Path("/dist"), (None, Path("a/mlp.pt2")), (None, Path("b/mlp.pt2"))))


def test_a_model_card_is_that_of_one_model() -> None:
    card = Path("/cards/mlp.json")
    asked = replace(request(Path("/dist"), ("a", Path("a.pt2"))), portable=True)
    assert order_of(replace(asked, model_cards=((None, card),))).cards == (("a", card),)
    both = replace(asked, models=(("a", Path("a.pt2")), ("b", Path("b.pt2"))))
    assert order_of(replace(both, model_cards=(("b", card),))).cards == (("b", card),)
    for wrong, words in (
        (replace(both, model_cards=((None, card),)), "whose is it"),
        (replace(both, model_cards=(("c", card),)), "whose is it"),
        (replace(both, model_cards=(("a", card), ("a", card))), "has one already"),
        (replace(asked, model_cards=((None, card),), portable=False), "needs --portable"),
    ):
        with pytest.raises(UsageError, match=words):
            order_of(wrong)
