"""Runs in a process of its own: several calls of the models of alias_models.py, whose outputs outlive them.

python outliving.py BUNDLE
"""

from __future__ import annotations

import gc
import sys
from typing import Any

import aotrun
import numpy as np

Array = Any


def expected(x: Array, y: Array, name: str) -> list[Array]:
    """What the models of alias_models.py return."""
    square = x * x
    weight = np.arange(6, dtype=np.float32).reshape(2, 3)
    parts = np.array([[1, 2], [3, -4]], np.float32)
    squares = [square, square, square.T, square[1:], square[:0]]
    inputs = [x, x, x.T, x[:, 1], y]
    conjugates = [y.conj(), y.conj().imag] if name == "ours" else []
    return [*squares, *inputs, weight, weight, weight.T, weight[1], parts, parts[:, 1], *conjugates, square]


def inputs(call: int) -> tuple[Array, Array]:
    return np.arange(6, dtype=np.float32).reshape(2, 3) - call, np.array([call + 1j, 2], np.complex64)


def addresses(outputs: list[Any]) -> tuple[set[int], set[int]]:
    """Of the outputs that are one tensor in Python, and of all others."""
    found = [np.asarray(output).__array_interface__["data"][0] for output in outputs]
    return {found[0], found[1], found[2], found[-1]}, {*found[5:-1]}


def outlive(bundle: str, name: str) -> None:
    model = aotrun.load(bundle, model=name)
    calls: list[tuple[list[Array], list[Any], list[Array]]] = []
    for call in range(4):
        given = inputs(call)
        wanted = [array.copy() for array in expected(*given, name)]
        outputs = list(model(*given))
        if name == "plain":
            assert outputs.pop(1) is None
            assert "output1" not in model.run(*given).outputs
        one, others = addresses(outputs)
        assert len(one) == 1, "one tensor in several places is not copied"
        own = [array.__array_interface__["data"][0] for array in given]
        assert not others & {*one, *own, own[0] + 4}, "a view of an input or a weight is"
        calls.append((wanted, outputs, [np.from_dlpack(output) for output in outputs]))
        for array in given:
            array[...] = np.nan
        for output in outputs[10:14]:
            np.testing.assert_array_equal(np.asarray(output), wanted[outputs.index(output)])
        if call == 0:
            for output in outputs[10:16]:
                np.asarray(output)[...] = 77  # the caller's own: no weight changes
    model.close()
    del model
    gc.collect()
    for call, (wanted, outputs, arrays) in enumerate(calls):
        for place, (array, output, shared) in enumerate(zip(wanted, outputs, arrays, strict=True)):
            value = np.full_like(array, 77) if call == 0 and 10 <= place < 16 else array
            np.testing.assert_array_equal(np.asarray(output), value, err_msg=f"{name}: call {call}, output {place}")
            np.testing.assert_array_equal(shared, value)
            np.testing.assert_array_equal(np.array(output.tolist(), array.dtype).reshape(array.shape), value)
    calls.clear()
    gc.collect()


for name in ("ours", "plain"):
    outlive(sys.argv[1], name)
print("outlived")
