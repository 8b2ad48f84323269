"""Recipes: those that ship are valid, and a wrong one is refused with its place."""

from __future__ import annotations

import pytest

from aotpack.backend import Backend
from aotpack.errors import AotpackError
from aotpack.libraries.recipe import load_recipe, parse_recipe
from aotpack.patterns import matches_any


@pytest.mark.parametrize("backend", list(Backend))
def test_the_recipes_that_ship_are_valid(backend: Backend) -> None:
    recipe = load_recipe(backend)
    assert recipe.backend is backend
    assert recipe.roots


@pytest.mark.parametrize(
    "text",
    ["", "schema = 2", "schema = 1\nbackend = 'tpu'", "not toml =", "schema = 1\nbackend = 'cpu'\nlayot = 'flat'"],
)
def test_a_wrong_recipe_is_refused_with_its_place(text: str) -> None:
    with pytest.raises(AotpackError, match=r"my\.toml"):
        parse_recipe(text, "my.toml")


def test_patterns_match_whole_names() -> None:
    assert matches_any("libtorch_cpu.so", ("libtorch*.so",))
    assert not matches_any("mylibtorch_cpu.so", ("libtorch*.so",))
    assert not matches_any("libx.so.1", ("libx.so",))
