"""Slices that end at a value: `x[:n]`.

Where that is known to a run alone, Inductor writes a beginning that was left out as `None` into C++ (pytorch 2.13).
"""

from __future__ import annotations

from typing import Any

from torch._inductor import ir


def patch_to_have_both_ends() -> None:
    """For code that is generated from now on in this process."""
    kind = getattr(ir, "DynamicSliceSize", None)
    if kind is None or hasattr(kind.__init__, "original"):
        return
    original = kind.__init__

    def initialise(self: Any, symbol: Any, start: Any, end: Any, *more: Any) -> None:
        *_, size = more
        original(self, symbol, 0 if start is None else start, size if end is None else end, *more)

    initialise.original = original  # type: ignore[attr-defined]
    kind.__init__ = initialise
