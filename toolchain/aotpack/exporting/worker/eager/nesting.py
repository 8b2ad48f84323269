"""What a module is given and returns: the leaves of nested containers, and the way to each."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch
from torch.utils import _pytree as pytree

from .. import naming


def leaves(tree: Any, *, of_any_type: bool = False) -> list[tuple[naming.Path, Any]]:
    """The leaves with their paths, in the order in which torch.export flattens them.

    Args:
        tree: nested tuples, lists, dicts and types registered with torch.utils._pytree.
        of_any_type: look into dataclasses, dicts and lists of types that are not registered, too.
    """
    parts = children(tree)
    if parts is None and of_any_type:
        parts = _of_another_type(tree)
    if parts is None:
        return [((), tree)]
    return [
        ((str(key) if isinstance(tree, Mapping) else key, *path), leaf)
        for key, part in parts
        for path, leaf in leaves(part, of_any_type=of_any_type)
    ]


def tensors(tree: Any) -> list[torch.Tensor]:
    """The tensors among the leaves, whatever types they lie in."""
    return [leaf for _, leaf in leaves(tree, of_any_type=True) if isinstance(leaf, torch.Tensor)]


def is_plain(tree: Any) -> bool:
    """Whether AOTInductor can write down how it nests.

    Not of types that have no name to be written by, such as what `x.max(1)` returns, nor of those it takes for leaves.
    """
    flat, structure = pytree.tree_flatten(tree)
    found = leaves(tree, of_any_type=True)
    if len(flat) != len(found) or any(one is not other for one, (_, other) in zip(flat, found, strict=True)):
        return False
    try:
        pytree.treespec_dumps(structure)
    except (NotImplementedError, TypeError):
        return False
    return True


def unwritable(tree: Any) -> Any:
    """The first container whose type torch.export or AOTInductor cannot write down; None where there is none."""
    parts = children(tree)
    if parts is None:
        return None

    def is_below(each: Any) -> bool:
        return each is not tree

    try:
        _, structure = pytree.tree_flatten_with_path(tree, is_leaf=is_below)
        pytree.treespec_dumps(structure)
    except (NotImplementedError, TypeError, ValueError):
        return tree
    return next((found for _, part in parts if (found := unwritable(part)) is not None), None)


def children(tree: Any) -> list[tuple[Any, Any]] | None:
    """What lies in a container that torch.export knows, by its keys; None of a leaf."""

    def is_below(each: Any) -> bool:
        return each is not tree

    values = pytree.tree_leaves(tree, is_leaf=is_below)
    if len(values) == 1 and values[0] is tree:
        return None
    if isinstance(tree, Mapping) and len(tree) == len(values):
        pairs = list(zip(tree, values, strict=True))
        if all(tree[key] is value for key, value in pairs):
            return pairs
    try:
        paths = [path for path, _ in pytree.tree_flatten_with_path(tree, is_leaf=is_below)[0]]
    except ValueError:  # of a type that was registered without names of its parts
        return list(enumerate(values))
    return list(zip((naming.keys(path)[0] for path in paths), values, strict=True))


def _of_another_type(value: Any) -> list[tuple[Any, Any]] | None:
    """What lies in a container that is not registered with torch.utils._pytree; None when it is none."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [(field.name, getattr(value, field.name)) for field in dataclasses.fields(value)]
    if isinstance(value, Mapping):
        return list(value.items())
    if isinstance(value, (tuple, list)) and not isinstance(value, torch.Size):
        return list(enumerate(value))
    return None
