"""Names for sizes that may vary: the user's (`Dim("batch")`), or else torch's (`s77`)."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sympy
from torch.utils import _pytree as pytree

from .. import naming
from ..subject import Subject

#: A size: an int, or sympy's expression where it may vary.
Size = Any


@dataclass(frozen=True)
class Linear:
    """The size `factor * symbol + offset`."""

    symbol: Any
    factor: int
    offset: int

    @staticmethod
    def of(size: Size) -> Linear | None:
        """None for a size that is of another form."""
        if is_number(size) or len(size.free_symbols) != 1:
            return None
        (symbol,) = size.free_symbols
        try:
            factor, offset = size.coeff(symbol), size.subs(symbol, 0)
        except ZeroDivisionError:  # it is divided by what is 0 there
            return None
        if not (factor.is_Integer and offset.is_Integer and factor >= 1):
            return None
        return Linear(symbol, int(factor), int(offset)) if sympy.expand(size - factor * symbol - offset) == 0 else None


@dataclass(frozen=True)
class Symbols:
    """What the sizes of the inputs are called."""

    #: Symbols whose values the inputs tell.
    names: dict[Any, str]
    #: Sizes of inputs that are no multiple of one symbol plus a number. They have names of their own, which is how a
    #: guard can hold them against what they follow from.
    others: dict[Any, str]
    #: What a person is told of each name: the user's word, or a place such as `x.shape[0]`.
    terms: dict[str, str]

    def text(self, size: Any) -> str:
        """An expression in these names."""
        return str(size.subs({symbol: sympy.Symbol(name) for symbol, name in self.names.items()}))

    def values(self, symbols: Mapping[Any, int]) -> dict[str, int]:
        """The value of each name, from those of the symbols."""
        return {name: valued(size, symbols) for size, name in [*self.names.items(), *self.others.items()]}


def is_number(size: Size) -> bool:
    """Whether a size cannot vary."""
    return isinstance(size, int) or bool(size.is_Integer)


def valued(size: Size, values: Mapping[Any, int]) -> int:
    """A size where its symbols have these values."""
    return int(size) if isinstance(size, int) else int(size.subs(dict(values)))


def sizes_of(value: Any) -> list[Size]:
    """Sizes of a fake tensor, as torch knows them by now: it may have come to take some for equal or for a number."""
    return [_settled(size if isinstance(size, int) else size.node.expr) for size in value.shape]


def _settled(size: Size) -> Size:
    return int(size) if is_number(size) else size


def name_symbols(inputs: Sequence[tuple[str, list[Size], Any]]) -> Symbols:
    """Names for the sizes of inputs, each given as its name, its sizes, and what `dynamic_shapes` says of it."""
    asked: dict[Any, str] = {}
    found: dict[Any, None] = {}
    places: dict[Any, str] = {}
    others: dict[Any, None] = {}
    for input_name, sizes, spec in inputs:
        for index, size in enumerate(sizes):
            if is_number(size):
                continue
            linear = Linear.of(size)
            if linear is None:
                others.setdefault(size)
                places.setdefault(size, f"{input_name}.shape[{index}]")
                continue
            found.setdefault(linear.symbol)
            name = _asked_name(dim_of(spec, index), derived=size != linear.symbol)
            if name is not None:
                asked.setdefault(linear.symbol, name)
            if size == linear.symbol:
                places.setdefault(size, f"{input_name}.shape[{index}]")
    names = dict(zip(found, naming.distinct(asked.get(symbol, str(symbol)) for symbol in found), strict=True))
    named = Symbols(names, {}, {})
    result = Symbols(names, {size: named.text(size) for size in others}, {})
    for size, name in [*result.names.items(), *result.others.items()]:
        result.terms[name] = name if size in asked else places.get(size, name)
    return result


def _asked_name(asked: Any, *, derived: bool) -> str | None:
    """The user's name of a symbol: of the dim itself, or of what it is derived from (`2 * Dim("n")`)."""
    if derived:
        return getattr(getattr(asked, "root", None), "__name__", None)
    return asked if isinstance(asked, str) else getattr(asked, "__name__", None)


def dim_of(spec: Any, index: int) -> Any:
    """What `dynamic_shapes` says of one dim of an input, of which it says `spec`."""
    if isinstance(spec, dict):
        return spec.get(index)
    if isinstance(spec, (tuple, list)) and index < len(spec):
        return spec[index]
    return None


def asked_of_inputs(dynamic_shapes: Any, subject: Subject) -> list[Any]:
    """What `dynamic_shapes` says of each leaf of the inputs: follow the same keys through it, as torch.export does.

    They are those of the parameters: `*rest` is one tuple, `**named` is one dict.
    """
    given = inspect.signature(subject.module.forward).bind(*subject.args, **subject.kwargs).arguments
    places = [naming.keys(path) for path, _leaf in pytree.tree_flatten_with_path(given)[0]]
    parameters = list(given)

    def asked(place: naming.Path) -> Any:
        by_position = isinstance(dynamic_shapes, (tuple, list))
        spec = dynamic_shapes
        for key in (parameters.index(str(place[0])) if by_position else place[0], *place[1:]):
            if isinstance(spec, dict):
                spec = spec.get(key)
            elif isinstance(spec, (tuple, list)) and isinstance(key, int) and key < len(spec):
                spec = spec[key]
            else:
                return None
        return spec

    return [asked(place) for place in places]
