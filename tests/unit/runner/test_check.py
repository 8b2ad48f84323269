"""What `aotrun check` calls the same as at export."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from aotrun.arrays.array import Array
from aotrun.arrays.dtypes import BY_TYPESTR
from aotrun.commands.check import _compare
from aotrun.errors import RunError

NAN, INF = math.nan, math.inf


def compared(got: Any, wanted: Any) -> float:
    array = np.asarray(wanted)
    dtype = BY_TYPESTR[array.dtype.str]
    recorded = Array(dtype, array.shape, bytearray(array.tobytes()))
    values = np.asarray(got, array.dtype).ravel().tolist()
    tensor = SimpleNamespace(dtype=dtype, shape=array.shape, flat=lambda: values)
    model: Any = SimpleNamespace(path="models/m", description={})
    return _compare(model, {"y": tensor}, {"out.y": recorded})  # type: ignore[dict-item]


@pytest.mark.parametrize("kind", ["f4", "f8", "c8", "c16"])
def test_what_is_no_number_and_infinities_are_equal_to_themselves(kind: str) -> None:
    values = np.array([1.0, NAN, INF, -INF], kind)
    assert compared(values, values) == 0
    for at, other in ((0, NAN), (1, 1.0), (1, INF), (2, -INF), (2, NAN), (3, 0.0)):
        changed = values.copy()
        changed[at] = other
        with pytest.raises(RunError):
            compared(changed, values)


def test_an_error_counts_beside_the_largest_element() -> None:
    """What sums of rounded products come to is as exact as their largest terms, not as what these cancel to."""
    wanted = np.array([100.0, 0.001], "f4")
    assert compared([100.0, 0.009], wanted) == pytest.approx(0.008, rel=0.01)
    with pytest.raises(RunError, match="at element 1, recorded"):
        compared([100.0, 0.02], wanted)


def test_half_of_a_complex_number_may_be_none() -> None:
    assert compared([complex(NAN, 1)], np.array([complex(0, NAN)])) == 0
    with pytest.raises(RunError):
        compared([complex(0, 1)], np.array([complex(0, NAN)]))


def test_errors_within_the_tolerance_are_told() -> None:
    assert compared([1.0001, 2], np.array([1, 2], "f4")) == pytest.approx(1e-4, rel=0.01)
    with pytest.raises(RunError, match="recorded 1"):
        compared([1.01, 2], np.array([1, 2], "f4"))
    assert compared([3], np.array([3])) == 0
    with pytest.raises(RunError):
        compared([4], np.array([3]))
