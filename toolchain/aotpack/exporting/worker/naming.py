"""Names of flattened inputs and outputs: the path to each tensor, such as `x`, `batch.ids`, `items.0`. No torch."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any

#: Keys from the root to a leaf: names of dict entries and attributes, indices of sequences.
Path = Sequence["str | int"]


def keys(path: Iterable[Any]) -> Path:
    """A path of torch.utils._pytree (SequenceKey, GetAttrKey, MappingKey) as plain keys."""
    result: list[str | int] = []
    for entry in path:
        if hasattr(entry, "idx"):
            result.append(int(entry.idx))
        else:
            result.append(str(entry.name if hasattr(entry, "name") else entry.key))
    return result


def input_names(forward: Callable[..., object], paths: Iterable[Path]) -> list[str]:
    """Names of inputs after `forward`'s parameters.

    A path starts with `0` and a position for a positional input, with `1` and a keyword for a named one, as in the
    tree `(args, kwargs)`.
    """
    parameters = inspect.signature(forward).parameters.values()
    positional = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    variadic = next((p.name for p in parameters if p.kind is p.VAR_POSITIONAL), "args")

    def root(path: Path) -> str:
        where, key = path[0], path[1]
        if where == 1:
            return str(key)
        position = int(key)
        return positional[position] if position < len(positional) else f"{variadic}.{position - len(positional)}"

    return distinct(".".join([root(path), *map(str, path[2:])]) for path in paths)


def output_names(paths: Iterable[Path]) -> list[str]:
    """Names of outputs: dict keys and named-tuple fields by path, `output0`, `output1`, ... where there are none."""

    def name(path: Path) -> str:
        head = path[0] if path else 0
        root = head if isinstance(head, str) else f"output{head}"
        return ".".join([root, *map(str, path[1:])])

    return distinct(name(path) for path in paths)


def distinct(names: Iterable[str]) -> list[str]:
    """The names, later ones numbered where two paths read the same: `a.b`, `a.b_2`."""
    taken: set[str] = set()
    result = []
    for name in names:
        candidate, number = name, 2
        while candidate in taken:
            candidate, number = f"{name}_{number}", number + 1
        taken.add(candidate)
        result.append(candidate)
    return result


def first_line(error: BaseException) -> str:
    """What an exception says, without the rest of a long message."""
    return (str(error).strip() or "no message").splitlines()[0]


def a(value: object) -> str:
    """What a value is, with an article: `a Tensor`, `an int`."""
    name = type(value).__name__
    return "None" if value is None else f"{'an' if name[0].lower() in 'aeio' else 'a'} {name}"
