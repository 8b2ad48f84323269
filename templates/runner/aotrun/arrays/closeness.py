"""Whether outputs are what eager PyTorch gave: one way and one table for export, check and the tests.

An error counts relative to the element and to the largest element of the output, for a sum of products is as exact as
its largest terms, not as what they cancel to. The tolerances (tolerances.json) are some ten units in the last place of
a type of 16 bits, whose roundings every layer adds again, and a thousand of the wider ones, where sums taken in another
order, vector functions and fused operations differ. Integers and bools are equal.

What lies behind a layer is no more exact than the layer, whatever dtype an output has: a bfloat16 network may end in
float32. Layers that multiply bytes by bytes round their activations to eight bits, where what differs in its last place
falls to either side of a step: two of them are as exact as bfloat16, which has as many bits, and of more the errors add
up as those of any that do not know of each other: with the root of their number. (Of 36 in a sentence encoder, two ways
to compute the same differed by 0.12 of the largest element, and by no less than either from float32.)
"""

from __future__ import annotations

import math
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Optional, Sequence, Tuple

#: What layers are called that multiply bytes by bytes, and the tolerance behind them; no output's own.
BYTES = "int8"


def tolerances(precision: Sequence[Dict[str, Any]] = ()) -> Dict[str, float]:
    """Largest error of an output by its dtype, such as `float32`; dtypes that are not there must be equal.

    `precision` is that of the model's layers, as model.json has it: a kind's precision and how many there are.
    """
    import json

    # From wherever this module came: a folder, or a bundle that is one file.
    loader: Any = __spec__.loader
    table: Dict[str, float] = json.loads(loader.get_data(os.path.join(os.path.dirname(__file__), "tolerances.json")))
    least = max((_behind(str(layer["precision"]), layer.get("count", 1), table) for layer in precision), default=0.0)
    return {dtype: max(allowed, least) for dtype, allowed in table.items() if dtype != BYTES}


def _behind(precision: str, count: int, table: Dict[str, float]) -> float:
    """The tolerance behind so many layers."""
    allowed = table.get(precision, 0.0)
    return allowed * math.sqrt(max(1.0, count / 2)) if precision == BYTES else allowed


def compare(got: Sequence[complex], wanted: Sequence[complex], tolerance: float) -> Tuple[float, Optional[int]]:
    """Compare two outputs of as many elements, numbers of any kind.

    Returns the largest absolute error, and the index of the first element that differs by more than `tolerance`; None
    when none does. The same infinity is equal, and so are two NaN.
    """
    largest = max((abs(value) for value in wanted if math.isfinite(abs(value))), default=0.0)
    worst = 0.0
    for index, (one, other) in enumerate(zip(got, wanted)):
        if one == other or (_is_nan(one) and _is_nan(other)):
            continue
        error = abs(one - other)
        if not error <= tolerance * (abs(other) + largest) or not math.isfinite(error):
            return max(worst, error), index
        worst = max(worst, error)
    return worst, None


def _is_nan(value: complex) -> bool:
    """Whether a number of any kind, or a part of it, is not one."""
    return value != value  # noqa: PLR0124
