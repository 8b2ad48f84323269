"""What a model says about its inputs and outputs."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional, Tuple

    from aotrun.arrays.dtypes import DType

_UNBOUNDED = (1 << 63) - 1


class Dim:
    """One size of an input or output.

    Attributes:
        min, max: bounds, equal when fixed; max is None when unbounded; both None when known only after a run.
        symbol: name of a dynamic size; dims of one symbol agree among all inputs of a call.
    """

    __slots__ = ("max", "min", "symbol")

    def __init__(self, low: int, high: int, symbol: Optional[bytes]) -> None:
        self.min = None if low < 0 else low
        self.max = None if high < 0 or high == _UNBOUNDED else high
        self.symbol = symbol.decode("utf-8") if symbol else None

    def __str__(self) -> str:
        if self.min is not None and self.min == self.max:
            return str(self.min)
        if self.min is None:
            return self.symbol or "?"
        return f"{self.symbol or '?'}:{self.min}..{'' if self.max is None else self.max}"


class Spec:
    """What a model says about one input or output.

    Attributes:
        name: unique among inputs or outputs.
        dtype: None when the package does not say.
        dims: None when the package does not say.
        mutated: whether the model writes into the input in place; None when the package does not say, and for outputs.
    """

    __slots__ = ("dims", "dtype", "mutated", "name")

    def __init__(
        self, name: str, dtype: Optional[DType], dims: Optional[Tuple[Dim, ...]], mutated: Optional[bool]
    ) -> None:
        self.name = name
        self.dtype = dtype
        self.dims = dims
        self.mutated = mutated

    def __str__(self) -> str:
        if self.dtype is None or self.dims is None:
            return f"{self.name}: unknown"
        note = " (written in place)" if self.mutated else ""
        return f"{self.name}: {self.dtype.name}[{', '.join(map(str, self.dims))}]{note}"

    __repr__ = __str__
