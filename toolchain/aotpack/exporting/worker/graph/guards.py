"""From what torch demands of sizes to the guards of a signature."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import sympy
from torch.utils._sympy.functions import ToFloat
from torch.utils._sympy.value_ranges import bound_sympy

from . import guard_language
from .guard_language import Expression
from .symbols import Symbols

#: A range of so many sizes is tried out one by one.
TRIED = 4096
#: The least number that an index of 32 bits cannot hold, less one.
_LARGEST_INDEX = (1 << 31) - 1

_RELATIONS = {"Equality": "==", "Unequality": "!=", "StrictLessThan": "<", "LessThan": "<="} | {
    "StrictGreaterThan": ">",
    "GreaterThan": ">=",
}
_OPERATIONS = {"Add": "+", "Mul": "*", "Max": "max", "Min": "min", "And": "and", "Or": "or", "Not": "not"} | {
    "FloorDiv": "//",
    "CleanDiv": "//",
    "Mod": "%",
    "PythonMod": "%",
}


class NotInTheLanguageError(ValueError):
    """Something that a bundle has no words for, such as a real number.

    Args:
        part: sympy's expression.
    """

    def __init__(self, part: Any) -> None:
        super().__init__(str(part))
        self.part = part


@dataclass(frozen=True)
class Guard:
    """A condition on the sizes of a call, as `aotpack.package.metadata.Guard` documents."""

    that: Expression
    text: str

    def holds(self, sizes: Mapping[str, int]) -> bool:
        """Whether sizes, by their symbols, satisfy it."""
        return bool(guard_language.evaluate(self.that, sizes))


def environment(program: Any) -> Any:
    """The ShapeEnv that knows the program's symbols; None when it has none, for no tensor is there."""
    for node in program.graph.nodes:
        mode = getattr(node.meta.get("val"), "fake_mode", None)
        if mode is not None and mode.shape_env is not None:
            return mode.shape_env
    return None


def demands(shape_env: Any, exported: int) -> list[Any]:
    """What sizes must satisfy, as sympy's relations.

    torch.export's guards say for which sizes the graph is right: all of them count. Inductor adds more while it
    compiles, most of which chose between ways that are all right (`12*h*w > 20480`: which convolution is quicker), and
    would refuse what was declared. What decides there are equalities, for the code has been made for these alone, and
    what an index of 32 bits can reach.

    Args:
        shape_env: after the compilation, or before it.
        exported: how many of its guards are torch.export's.
    """
    # Symbols that torch has since come to take for equal to others, or for numbers, are replaced by these.
    found = [guard.expr for guard in shape_env.guards]
    found = found[:exported] + [expr for expr in found[exported:] if _decides(expr)]
    return [_whole(shape_env.replace(expr)) for expr in found]


def _whole(expr: Any) -> Any:
    """A relation of fractions as one of whole numbers: `0.5*ToFloat(2*n) + 1.0 == ToFloat(n + 1)` is true."""
    if not expr.has(ToFloat) and not expr.has(sympy.Float):
        return expr
    exact = sympy.nsimplify(expr.replace(ToFloat, lambda size: size), rational=True)
    if not isinstance(exact, sympy.core.relational.Relational):
        return exact
    numerator, denominator = sympy.fraction(sympy.together(exact.lhs - exact.rhs))
    return exact.func(sympy.expand(numerator), 0) if denominator.is_Integer and denominator > 0 else expr


def _decides(expr: Any) -> bool:
    if isinstance(expr, sympy.Eq):
        return True
    return isinstance(expr, sympy.core.relational.Relational) and any(
        number.is_Integer and abs(number) >= _LARGEST_INDEX for number in expr.atoms(sympy.Integer)
    )


def guards(exprs: Iterable[Any], symbols: Symbols, ranges: Mapping[Any, Any]) -> list[Guard]:
    """Guards for what the ranges of the sizes do not say by themselves.

    Args:
        exprs: sympy's relations; those about sizes that only a run tells are left to the model's code.
        symbols: what the inputs tell.
        ranges: of symbols, in torch's terms.

    Raises NotInTheLanguageError.
    """
    made: dict[str, Guard] = {}
    for size, name in symbols.others.items():
        that: Expression = ["==", name, expression(size, symbols.names)]
        made.setdefault(guard_language.text(that, symbols.terms), Guard(that, guard_language.text(that, symbols.terms)))
    for expr in exprs:
        told = bool(expr.free_symbols) and expr.free_symbols <= set(symbols.names)
        if told and not follows(expr, symbols.names, ranges):
            that = expression(expr, symbols.names)
            text = guard_language.text(that, symbols.terms)
            made.setdefault(text, Guard(that, text))
    return list(made.values())


def follows(expr: Any, names: Mapping[Any, str], ranges: Mapping[Any, Any]) -> bool:
    """Whether the ranges alone make it true."""
    bound = bound_sympy(expr, dict(ranges))
    if bound.is_singleton():
        return bool(bound.lower)
    if len(expr.free_symbols) != 1:
        return False
    (symbol,) = expr.free_symbols
    given = ranges.get(symbol)
    if given is None or not (given.lower.is_Integer and given.upper.is_Integer) or given.upper - given.lower >= TRIED:
        return False
    sizes = range(int(given.lower), int(given.upper) + 1)
    try:
        that, name = expression(expr, names), names[symbol]
    except NotInTheLanguageError:
        try:
            return all(expr.subs(symbol, size) == sympy.true for size in sizes)
        except ZeroDivisionError:
            return False
    return all(guard_language.evaluate(that, {name: size}) for size in sizes)


def expression(expr: Any, names: Mapping[Any, str]) -> Expression:
    """sympy's expression in the language of guards. Raises NotInTheLanguageError."""
    if expr.is_Integer:
        return int(expr)
    if expr.is_Symbol:
        return names[expr]
    if expr in (sympy.true, sympy.false):
        return int(expr == sympy.true)
    kind = type(expr).__name__
    if kind == "Pow" and expr.exp.is_Integer and expr.exp > 1:
        return ["*", *[expression(expr.base, names)] * int(expr.exp)]
    name = _RELATIONS.get(kind) or _OPERATIONS.get(kind)
    if name is None:
        raise NotInTheLanguageError(expr)
    return [name, *(expression(argument, names) for argument in _in_order(expr, name, list(names)))]


def _in_order(expr: Any, name: str, known: list[Any]) -> list[Any]:
    """The operands, in the order of the inputs where any order will do: sympy's follows hashes of names."""
    if name not in ("+", "*", "max", "min", "and", "or"):
        return list(expr.args)
    place = {symbol: index for index, symbol in enumerate(known)}
    return sorted(
        expr.args, key=lambda part: (min((place[s] for s in part.free_symbols), default=len(place)), str(part))
    )
