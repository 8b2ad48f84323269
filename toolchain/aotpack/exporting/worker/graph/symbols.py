"""Names for sizes that may vary: the user's (`Dim("batch")`), or else torch's (`s77`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sympy
from torch.utils._sympy.value_ranges import ValueRanges

from .. import naming
from ..eager import nesting
from ..subject import Subject
from . import declared

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
    #: torch's symbols that are sizes which the user derives of a dim of his own (`Dim("n") - 2`), in terms of that.
    roots: dict[Any, Any] = field(default_factory=dict)

    def rooted(self, expr: Any) -> Any:
        """An expression over torch's symbols in those that names are given to."""
        return expr if isinstance(expr, int) or not self.roots else expr.xreplace(self.roots)

    def sizes(self, value: Any) -> list[Size]:
        """Sizes of a fake tensor."""
        return self.all_rooted(sizes_of(value))

    def all_rooted(self, sizes: Sequence[Size]) -> list[Size]:
        """Sizes over torch's symbols in those that names are given to."""
        return [_settled(self.rooted(size)) for size in sizes]

    def ranges(self, known: Mapping[Any, Any]) -> dict[Any, Any]:
        """Value ranges of symbols, from those of torch's."""
        moved: dict[Any, Any] = {}
        for symbol, expr in self.roots.items():
            if symbol in known:
                (root,) = expr.free_symbols
                offset = expr - root
                bound = known[symbol]
                own = ValueRanges(bound.lower - offset, bound.upper - offset)
                moved[root] = moved[root] & own if root in moved else own
        return {**known, **moved}

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
    roots = _roots(inputs)
    inputs = [(name, Symbols({}, {}, {}, roots).all_rooted(sizes), spec) for name, sizes, spec in inputs]
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
    result = Symbols(names, {size: named.text(size) for size in others}, {}, roots)
    for size, name in [*result.names.items(), *result.others.items()]:
        result.terms[name] = name if size in asked else places.get(size, name)
    return result


def _roots(inputs: Sequence[tuple[str, list[Size], Any]]) -> dict[Any, Any]:
    """Symbols that are sizes which the user derives by a number that is added, in terms of what he derives them of.

    torch takes the first size that it meets for the symbol, be it `n - 2`: `n` would be called "n - 2 + 2".
    """
    own: dict[Any, Any] = {}
    for _, sizes, spec in inputs:
        for index, size in enumerate(sizes):
            if not is_number(size) and size.is_Symbol:
                own.setdefault(size, dim_of(spec, index))
    taken = {getattr(dim, "__name__", None) for dim in own.values()}
    found: dict[Any, Any] = {}
    for symbol, dim in own.items():
        name = getattr(getattr(dim, "root", None), "__name__", None)
        if name is not None and name not in taken:
            root = sympy.Symbol(name, integer=True)
            derived = sympy.sympify(dim.fn(root))
            if derived - root == derived.subs(root, 0):
                found[symbol] = derived
    return found


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

    They are those of the parameters: `*rest` is one tuple.
    """
    return _of_leaves(dynamic_shapes, declared.given(subject.module, subject.args, subject.kwargs))


def _of_leaves(spec: Any, value: Any) -> list[Any]:
    parts = nesting.children(value)
    if parts is None:
        return [spec]
    found: list[Any] = []
    for index, (key, part) in enumerate(parts):
        if isinstance(spec, Mapping):
            said = spec.get(key)
        else:
            said = spec[index] if isinstance(spec, (tuple, list)) and index < len(spec) else None
        found += _of_leaves(said, part)
    return found
