"""The language of guards: conditions on sizes that no range says, such as `["==", ["%", "rows", 6], 0]`. No torch.

An expression is an integer, the symbol of a dim, or a list of an operator and what it works on. Numbers are those of
64 bits and division rounds down, as in Python. What overflows or divides by zero has no value, and a guard without one
does not hold. The bridge's evaluator is bridge/src/package/guard.cpp; bridge/tests/data/guard_cases.json holds both to
the same values.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Union

Expression = Union[int, str, "list[Any]"]

#: Folded from the left over two or more.
_FOLDED: dict[str, Callable[[int, int], int]] = {
    "+": operator.add,
    "*": operator.mul,
    "min": min,
    "max": max,
    "and": lambda a, b: int(bool(a) and bool(b)),
    "or": lambda a, b: int(bool(a) or bool(b)),
}
_OF_TWO: dict[str, Callable[[int, int], int]] = {
    "-": operator.sub,
    "//": operator.floordiv,
    "%": operator.mod,
    "==": lambda a, b: int(a == b),
    "!=": lambda a, b: int(a != b),
    "<": lambda a, b: int(a < b),
    "<=": lambda a, b: int(a <= b),
    ">": lambda a, b: int(a > b),
    ">=": lambda a, b: int(a >= b),
}
_NOT = "not"

#: The bridge's JSON reader takes no values nested deeper, and its evaluator has room for no more.
DEEPEST = 24

#: How strongly an operator binds in the text of an expression.
_STRENGTH = {"or": 1, "and": 2, "not": 3, "+": 5, "-": 5, "*": 6, "//": 6, "%": 6} | dict.fromkeys(
    ("==", "!=", "<", "<=", ">", ">="), 4
)


def check(expression: Any, depth: int = DEEPEST) -> None:
    """Raise ValueError unless it is of the language."""
    if depth == 0:
        raise ValueError("an expression is nested too deep")
    if isinstance(expression, str) or (isinstance(expression, int) and not isinstance(expression, bool)):
        return
    if not isinstance(expression, list) or not expression:
        raise ValueError(f"{expression!r} is no expression")
    name, *operands = expression
    right = len(operands) >= 2 if name in _FOLDED else len(operands) == (1 if name == _NOT else 2)
    if not right or (name not in _FOLDED and name not in _OF_TWO and name != _NOT):
        raise ValueError(f"{name!r} of {len(operands)} is no operation")
    for operand in operands:
        check(operand, depth - 1)


def symbols(expression: Expression) -> Iterator[str]:
    """The symbols in it, as often as they are there."""
    if isinstance(expression, str):
        yield expression
    elif isinstance(expression, list):
        for operand in expression[1:]:
            yield from symbols(operand)


def evaluate(expression: Expression, sizes: Mapping[str, int]) -> int | None:
    """Its value, 1 and 0 for true and false; None where it has none."""
    if isinstance(expression, int):
        return _in_range(expression)
    if isinstance(expression, str):
        return sizes[expression]
    name, *operands = expression
    values = [evaluate(operand, sizes) for operand in operands]
    result = values[0]
    if name == _NOT:
        return None if result is None else int(not result)
    function = _FOLDED.get(name) or _OF_TWO[name]
    for value in values[1:]:
        if result is None or value is None or (name in ("//", "%") and value == 0):
            return None
        result = _in_range(function(result, value))
    return result


def _in_range(value: int) -> int | None:
    return value if -(1 << 63) <= value < 1 << 63 else None


def text(expression: Expression, names: Mapping[str, str]) -> str:
    """What it says, for a person; `names` are what the symbols are called."""
    if isinstance(expression, list) and expression[0] == "==" and expression[2] == 0:
        divided = expression[1]
        if isinstance(divided, list) and divided[0] == "%" and isinstance(divided[2], int):
            return f"{_infix(divided[1], names)[0]} is a multiple of {divided[2]}"
    return _infix(expression, names)[0]


def _infix(expression: Expression, names: Mapping[str, str]) -> tuple[str, int]:
    """Its text, and how strongly its operator binds."""
    if not isinstance(expression, list):
        return (names.get(expression, expression) if isinstance(expression, str) else str(expression)), 9
    name, *operands = expression
    strength = _STRENGTH.get(name, 0)
    if strength == 0:
        return f"{name}({', '.join(_infix(operand, names)[0] for operand in operands)})", 9
    if name == "*":
        operands = _sign_first(operands)
        if len(operands) == 1:
            part, inner = _infix(operands[0], names)
            return (f"-{part}" if inner > strength else f"-({part})"), strength
    parts = []
    for index, operand in enumerate(operands):
        part, inner = _infix(operand, names)
        # What stands on the right binds to what is on its left.
        parts.append(f"({part})" if inner < strength or (index > 0 and inner == strength) else part)
    return (f"not {parts[0]}" if name == _NOT else f" {name} ".join(parts).replace(" + -", " - ")), strength


def _sign_first(factors: list[Expression]) -> list[Expression]:
    """Factors with a negative number before the others, as a person writes it; without it where it is -1."""
    for index, factor in enumerate(factors):
        if isinstance(factor, int) and factor < 0:
            others = [*factors[:index], *factors[index + 1 :]]
            return others if factor == -1 and len(others) == 1 else [factor, *others]
    return factors
