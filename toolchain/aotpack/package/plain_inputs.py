"""What a package of plain PyTorch takes, read from the checks in its generated code: nothing else records it.

PyTorch can be told to run these checks, but they refuse what the model was exported for: torch traces with sizes of two
and more, and so a range that was declared from 0 or 1 is checked from 2.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping

from aotpack.package.metadata import DTYPES, Dim, DynamicDim, TensorSpec

#: The least size that torch's checks know, whatever was declared.
_TRACED = 2
#: Values for symbols, larger than one and without common factors, to compare strides by.
_PRIMES = (5, 7, 11, 13, 17, 19, 23, 29, 31, 37)


def inputs_of(wrapper: str) -> tuple[TensorSpec, ...]:
    """The inputs, named as the code does, from the text of the generated wrapper.

    Empty where the text is not understood, or where an input is not in C order; then PyTorch's own checks have to do.
    """
    try:
        return _inputs_of(wrapper)
    except (ValueError, RecursionError, MemoryError):  # numbers or expressions that no compiler writes
        return ()


def _inputs_of(wrapper: str) -> tuple[TensorSpec, ...]:
    handles = re.findall(r"ConstantHandle (\w+) = ConstantHandle\(input_handles\[(\d+)\]\);", wrapper)
    if [int(index) for _, index in handles] != list(range(len(handles))):
        return ()
    symbols = dict.fromkeys(re.findall(r"int64_t (\w+) = \w+_size\[\d+\];", wrapper))
    values = dict(zip(symbols, _PRIMES, strict=False))
    if len(values) != len(symbols):
        return ()
    specs = [_spec(wrapper, name, values) for name, _ in handles]
    return tuple(spec for spec in specs if spec is not None) if None not in specs else ()


def _spec(wrapper: str, name: str, values: Mapping[str, int]) -> TensorSpec | None:
    dtype = re.search(rf"\b{name}_expected_dtype = aoti_torch_dtype_(\w+)\(\);", wrapper)
    layout = re.search(rf'assert_size_stride\({name}, \{{([^}}]*)\}}, \{{([^}}]*)\}}, "input"\)', wrapper)
    if dtype is None or dtype[1] not in DTYPES or layout is None:
        return None
    sizes, strides = ([part for part in re.split(r",\s*", text) if part] for text in layout.groups())
    try:
        shape = [_value(size, values) for size in sizes]
        steps = [_value(stride, values) for stride in strides]
    except (KeyError, ValueError):
        return None
    expected, step = [], 1
    for size in reversed(shape):
        expected.append(step)
        step *= max(size, 1)
    # The stride of a dim of one element is anything.
    if len(shape) != len(steps):
        return None
    unlike = [True for size, have, want in zip(shape, steps, expected[::-1], strict=True) if size > 1 and have != want]
    if unlike:
        return None
    dims = [_dim(wrapper, name, index, size, values) for index, size in enumerate(sizes)]
    known = tuple(dim for dim in dims if dim is not None)
    return TensorSpec(name=name, dtype=dtype[1], dims=known) if len(known) == len(dims) else None


def _value(expression: str, values: Mapping[str, int]) -> int:
    """Of sums and products of numbers (`16L`) and symbols. Raises KeyError and ValueError for anything else."""
    try:
        return _evaluated(ast.parse(re.sub(r"\b(\d+)L\b", r"\1", expression), mode="eval").body, values)
    except SyntaxError as error:
        raise ValueError(expression) from error


def _evaluated(node: ast.expr, values: Mapping[str, int]) -> int:
    if isinstance(node, ast.Constant) and isinstance(node.value, int):
        return node.value
    if isinstance(node, ast.Name):
        return values[node.id]
    if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Add, ast.Mult)):
        left, right = _evaluated(node.left, values), _evaluated(node.right, values)
        return left + right if isinstance(node.op, ast.Add) else left * right
    raise ValueError(ast.dump(node))


def _dim(wrapper: str, name: str, index: int, size: str, values: Mapping[str, int]) -> Dim:
    """None for a size that is neither a number nor one of the symbols."""
    if number := re.fullmatch(r"(\d+)L?", size):
        return _size(number[1])
    if size not in values:
        return None
    least = re.search(rf"if \({name}_size\[{index}\] < (\d+)\)", wrapper)
    most = re.search(rf"if \({name}_size\[{index}\] > (\d+)\)", wrapper)
    low = _size(least[1]) if least else 0
    return DynamicDim(size, 1 if low == _TRACED else low, _size(most[1]) if most else None)


def _size(text: str) -> int:
    """A size that fits 64 bits. Raises ValueError for others."""
    value = int(text)
    if value >= 1 << 63:
        raise ValueError(text)
    return value
