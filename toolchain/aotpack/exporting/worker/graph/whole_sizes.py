"""The symbol that a derived size follows from: `n` of an input whose size is `49*n`.

Generated code finds it as `(1.0/49.0)*size`, which is 0.99... for 49 and then cut to 0: rows are lost without a word
(pytorch 2.13). Of the factors up to 1,000, one in twelve does so at some size, and with an offset most do. Here it
divides whole numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sympy


def patch_to_divide_exactly() -> None:
    """Let code that is generated from now on in this process find symbols of sizes in whole numbers."""
    from torch._inductor.codegen.cpp_wrapper_cpu import CppWrapperCpu
    from torch.utils._sympy import solve

    assign: Callable[..., Any] | None = getattr(CppWrapperCpu, "codegen_input_symbol_assignment", None)
    find: Callable[..., Any] | None = getattr(solve, "try_solve", None)
    if assign is None or find is None:
        return

    def whole(*args: Any, **kwargs: Any) -> Any:
        found = find(*args, **kwargs)
        return found and (found[0], quotient(found[1]))

    def codegen_input_symbol_assignment(*args: Any, **kwargs: Any) -> Any:
        solve.try_solve = whole
        try:
            return assign(*args, **kwargs)
        finally:
            solve.try_solve = find

    CppWrapperCpu.codegen_input_symbol_assignment = codegen_input_symbol_assignment


def quotient(value: Any) -> Any:
    """The same of whole numbers: `(size - 1)/49` is a division that leaves no fraction."""
    from torch.utils._sympy.functions import FloorDiv

    above, below = sympy.fraction(sympy.together(value))
    return value if below == 1 else FloorDiv(above, below)
