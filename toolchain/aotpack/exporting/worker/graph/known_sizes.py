"""Sizes that an input tells by itself come before those that follow from them.

Generated code reads the inputs in their order. Where the first has n * n rows and the second n, Inductor tries to solve
the former for n and gives up (pytorch 2.13).
"""

from __future__ import annotations

from typing import Any

import sympy
from torch._inductor.codegen.cpp_wrapper_cpu import CppWrapperCpu
from torch._inductor.virtualized import V

_NAME = "codegen_input_symbol_assignment"


def patch_to_come_first() -> None:
    """For code that is generated from now on in this process."""
    original = getattr(CppWrapperCpu, _NAME, None)
    if original is None or hasattr(original, "original"):
        return

    def assignment(self: Any, name: str, value: Any, bound_vars: Any, *later: Any) -> None:  # pytorch 2.14 has more
        if not isinstance(value, sympy.Expr):
            for symbol, place in _told(value).items():
                if symbol not in bound_vars:
                    original(self, place, symbol, bound_vars, *later)
        original(self, name, value, bound_vars, *later)

    assignment.original = original  # type: ignore[attr-defined]
    setattr(CppWrapperCpu, _NAME, assignment)


def _told(value: Any) -> dict[Any, str]:
    """Symbols in sizes of an input that cannot be solved for them, and where another input has them as its own size."""
    wanted = set()
    for size in _sizes(value):
        if not isinstance(size, sympy.Symbol) and any(not size.diff(s).is_number for s in size.free_symbols):
            wanted |= size.free_symbols
    return {
        size: f"{name}.sizes()[{dim}]"
        for name, other in (V.graph.graph_inputs.items() if wanted else ())
        for dim, size in enumerate(_sizes(other))
        if size in wanted
    }


def _sizes(value: Any) -> list[Any]:
    sizes = value.get_size() if hasattr(value, "get_size") else []
    return [size for size in sizes if isinstance(size, sympy.Expr)]
