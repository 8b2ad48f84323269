"""Views of what Python has, without a model."""

from __future__ import annotations

import ctypes
from typing import Any

import pytest
from aotrun.arrays.dtypes import BY_NAME
from aotrun.arrays.signature import Dim, Spec
from aotrun.errors import UsageError
from aotrun.library.ffi import View
from aotrun.library.foreign import Views


def spec(name: str = "x", dtype: str | None = "float32", *, mutated: bool | None = False) -> Spec:
    return Spec(name, BY_NAME[dtype] if dtype else None, (Dim(0, -1, None),), mutated)


def borrowed(values: list[Any], *specs: Spec) -> list[tuple[list[int], list[float]]]:
    """Sizes and elements of the views."""
    keep: list[Any] = []
    views = Views(specs)
    address = views.borrow(values, keep)
    first = address if isinstance(address, ctypes.Array) else (View * 1).from_address(address.value)
    found = []
    for view in first[: len(values)]:
        shape = list(view.shape[: view.ndim])
        count = 1
        for size in shape:
            count *= size
        found.append((shape, list((ctypes.c_float * count).from_address(view.data or 0)) if count else []))
    return found


def test_lists_of_numbers_are_arrays_of_the_models_type() -> None:
    assert borrowed([[[1, 2], [3, 4]]], spec()) == [([2, 2], [1, 2, 3, 4])]
    assert borrowed([(0.5,), 2], spec("x"), spec("y")) == [([1], [0.5]), ([], [2])]
    assert borrowed([[]], spec()) == [([0], [])]


@pytest.mark.parametrize(
    ("value", "asked", "message"),
    [
        ([[1], [1, 2]], spec(), "different lengths"),
        (["a"], spec(), "does not fit float32"),
        ([1], spec(dtype=None), "does not say which type"),
        ([1], spec(mutated=True), "writes into it in place"),
        ("text", spec(), "input x is a str"),
    ],
)
def test_what_is_no_input(value: Any, asked: Spec, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        borrowed([value], asked)
