"""Outputs for people: name, type, range and the numbers, long axes cut in the middle."""

from __future__ import annotations

import math

from aotrun.errors import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, List, Sequence

    from aotrun.arrays.array import Elements

#: Entries shown at each end of an axis that is longer than twice this.
_EDGE = 3


def show(name: str, tensor: Elements) -> str:
    """A few lines about an output."""
    values = tensor.flat()
    sizes = ", ".join(map(str, tensor.shape))
    head = f"{printable(name)}: {tensor.dtype.name}[{sizes}]"
    if values and not tensor.dtype.is_complex and tensor.dtype.name != "bool":
        finite = [value for value in values if math.isfinite(value)]
        if finite:
            head += f"  min {min(finite):.6g}  max {max(finite):.6g}  mean {math.fsum(finite) / len(finite):.6g}"
        if len(finite) < len(values):
            head += f"  not finite {len(values) - len(finite)}"
    if not values:
        return head
    is_float = tensor.dtype.is_float
    texts = [f"{value:.6g}" if is_float else str(value) for value in values]
    return f"{head}\n{_block(texts, tensor.shape, 0)}"


def _block(texts: Sequence[str], shape: Sequence[int], depth: int) -> str:
    if not shape:
        return texts[0]
    step = len(texts) // shape[0]
    parts: List[Any] = [texts[index * step : (index + 1) * step] for index in _shown(shape[0])]
    blocks = [_block(part, shape[1:], depth + 1) for part in parts]
    if shape[0] > 2 * _EDGE:
        blocks.insert(_EDGE, "...")
    if len(shape) == 1:
        return "[" + ", ".join(blocks) + "]"
    return "[" + (",\n" + " " * (depth + 1)).join(blocks) + "]"


def _shown(size: int) -> List[int]:
    if size <= 2 * _EDGE:
        return list(range(size))
    return [*range(_EDGE), *range(size - _EDGE, size)]
