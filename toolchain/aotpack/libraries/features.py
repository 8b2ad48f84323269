"""Which feature groups of a recipe a bundle carries: those its models need, and those that were asked for. Pure."""

from __future__ import annotations

import fnmatch
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from aotpack.errors import UsageError
from aotpack.libraries.recipe import Recipe
from aotpack.patterns import matches_any


@dataclass(frozen=True)
class Features:
    """The groups that are on, each with the reason, and those that are off."""

    on: Mapping[str, str] = field(default_factory=dict)
    off: tuple[str, ...] = ()

    @property
    def names(self) -> frozenset[str]:
        """The groups that are on."""
        return frozenset(self.on)


def choose(recipe: Recipe, names: Iterable[Sequence[str]], asked: Iterable[str] = ()) -> Features:
    """Turn groups on.

    Args:
        recipe: its groups, with the patterns that turn them on.
        names: of each model, the symbols it imports and the ops it runs through the proxy executor. Without any model,
            all groups that some model could need are on: such a bundle is for models to come.
        asked: groups named by the user.

    Raises:
        UsageError: a group is asked for that the recipe does not have.
    """
    wanted: dict[str, str] = {}
    for name in asked:
        if name not in recipe.groups:
            known = ", ".join(sorted(recipe.groups)) or "none"
            raise UsageError(
                f"--features {name}: recipes/{recipe.backend}.toml has no such group",
                meaning=f"the groups of backend {recipe.backend}: {known}",
                fix="name one of them, or leave --features away: the models say what they need",
            )
        wanted[name] = "asked for"
    models = [tuple(model) for model in names]
    for name, group in recipe.groups.items():
        if not models and group.symbols:
            wanted.setdefault(name, "no model was named, so any may come")
        for used in _first_match(models, group.symbols):
            wanted.setdefault(name, f"a model uses {used}")
    on: dict[str, str] = {}
    queue = deque(wanted.items())
    while queue:
        name, reason = queue.popleft()
        if name not in on:
            on[name] = reason
            queue.extend((needed, f"{name} needs it") for needed in recipe.groups[name].needs)
    return Features(on, tuple(name for name in recipe.groups if name not in on))


def _first_match(models: Sequence[Sequence[str]], patterns: tuple[str, ...]) -> Iterable[str]:
    for model in models:
        for pattern in patterns:
            yield from fnmatch.filter(model, pattern)[:1]


def with_needs(recipe: Recipe, group: str) -> frozenset[str]:
    """A group and all that come on with it."""
    found: set[str] = set()
    queue = deque([group])
    while queue:
        name = queue.popleft()
        if name not in found:
            found.add(name)
            queue.extend(recipe.groups[name].needs)
    return frozenset(found)


def group_that_stubs(recipe: Recipe, library: str, on: frozenset[str]) -> str | None:
    """The group that is off and leaves a stub for a library; None when the library itself is to travel."""
    holders = [name for name, group in recipe.groups.items() if matches_any(library, group.libraries)]
    if any(name in on for name in holders):
        return None
    return next((name for name in holders if recipe.groups[name].stub), None)
