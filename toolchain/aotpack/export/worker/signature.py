"""The signature of an exported program: names, dtypes, dims with their ranges."""

from __future__ import annotations

import inspect
import sys
from dataclasses import dataclass, field
from typing import Any

import sympy
import torch
from torch.utils import _pytree as pytree
from torch.utils._sympy.value_ranges import bound_sympy

from . import naming
from .carriable import dtype_name
from .failure import WorkerError
from .running import Run
from .source import Subject


@dataclass
class Signature:
    """Inputs and outputs in call order, as `aotpack.package.metadata.TensorSpec` documents."""

    inputs: list[dict[str, Any]]
    outputs: list[dict[str, Any]]
    #: Expressions of each input's sizes over the program's symbols, parallel to `inputs`.
    input_sizes: list[list[Any]]
    #: Symbol -> its value range in torch's terms; see `bounds`.
    ranges: dict[Any, Any]
    notes: list[str] = field(default_factory=list)


def describe(program: Any, subject: Subject, run: Run) -> Signature:
    """The signature of `program`, exported from `subject`; `run` is an eager call, which tells the outputs' names.

    Raises WorkerError for what a bundle cannot carry.
    """
    flat = pytree.tree_flatten_with_path((subject.args, subject.kwargs))[0]
    paths = [naming.keys(path) for path, _leaf in flat]
    names = naming.input_names(subject.module.forward, paths)
    placeholders = {node.name: node for node in program.graph.nodes if node.op == "placeholder"}
    user_inputs = [spec.arg for spec in program.graph_signature.input_specs if spec.kind.name == "USER_INPUT"]
    ranges = dict(program.range_constraints)

    notes: list[str] = []
    tensors: list[tuple[str, Any, Any]] = []
    written = _written_inputs(program)
    mutated: list[bool] = []
    for name, path, (_, leaf), argument in zip(names, paths, flat, user_inputs, strict=True):
        if isinstance(leaf, torch.Tensor):
            spec = _shape_spec(subject.dynamic_shapes, subject, path)
            tensors.append((name, placeholders[argument.name].meta["val"], spec))
            mutated.append(argument.name in written)
        elif leaf is not None:
            notes.append(f"input {name} is not a tensor: its value {leaf!r} is fixed in the package")
    symbols = _symbol_names(tensors)
    inputs = [
        _spec(name, value, symbols, ranges, output=False) | {"mutated": is_mutated}
        for (name, value, _), is_mutated in zip(tensors, mutated, strict=True)
    ]

    returned = next(node for node in program.graph.nodes if node.op == "output").args[0]
    kinds = [spec.kind.name for spec in program.graph_signature.output_specs]
    values = [node.meta["val"] for node, kind in zip(returned, kinds, strict=True) if kind == "USER_OUTPUT"]
    output_names = naming.output_names(run.output_paths)
    outputs = [
        _spec(name, value, symbols, ranges, output=True) for name, value in zip(output_names, values, strict=True)
    ]
    return Signature(inputs, outputs, [_sizes(value) for _, value, _ in tensors], ranges, notes)


def _written_inputs(program: Any) -> set[str]:
    """Placeholders of the inputs that the program writes into in place."""
    modules = [module for module in program.graph_module.modules() if isinstance(module, torch.fx.GraphModule)]
    targets = [node.target for module in modules for node in module.graph.nodes if node.op == "call_function"]
    if any(map(_may_write, targets)):
        # Only a functional graph tells of what has been written, through whatever views. Making it traces once more.
        program = program.run_decompositions({})
    return set(program.graph_signature.user_inputs_to_mutate.values())


def _may_write(target: Any) -> bool:
    if isinstance(target, torch._ops.OpOverload):
        return bool(target._schema.is_mutable)
    return isinstance(target, torch._ops.HigherOrderOperator)


def _sizes(value: Any) -> list[Any]:
    """Sizes of a fake tensor: ints, and sympy expressions where they are dynamic."""
    return [int(size) if isinstance(size, int) else size.node.expr for size in value.shape]


def _symbol_names(tensors: list[tuple[str, Any, Any]]) -> dict[Any, str]:
    """Names of the symbols among the inputs: the user's (`Dim("batch")`) or else torch's (`s77`)."""
    names: dict[Any, str] = {}
    unnamed: set[Any] = set()
    for _, value, spec in tensors:
        for index, size in enumerate(_sizes(value)):
            if isinstance(size, int) or not size.is_Symbol:
                continue
            asked = _dim_of(spec, index)
            name = asked if isinstance(asked, str) else getattr(asked, "__name__", None)
            if name is None:
                unnamed.add(size)
            else:
                names.setdefault(size, name)
    return {symbol: str(symbol) for symbol in unnamed} | names


def _dim_of(spec: Any, index: int) -> Any:
    if isinstance(spec, dict):
        return spec.get(index)
    if isinstance(spec, (tuple, list)) and index < len(spec):
        return spec[index]
    return None


def _shape_spec(dynamic_shapes: Any, subject: Subject, path: naming.Path) -> Any:
    """What `dynamic_shapes` says about the input at `path`: follow the same keys through it, as torch.export does."""
    position: list[str | int] = list(path[1:])
    if isinstance(dynamic_shapes, dict) and path[0] == 0:
        position[0] = list(inspect.signature(subject.module.forward).parameters)[int(path[1])]
    spec = dynamic_shapes
    for key in position:
        if isinstance(spec, dict):
            spec = spec.get(key)
        elif isinstance(spec, (tuple, list)) and isinstance(key, int) and key < len(spec):
            spec = spec[key]
        else:
            return None
    return spec


def _spec(name: str, value: Any, symbols: dict[Any, str], ranges: dict[Any, Any], *, output: bool) -> dict[str, Any]:
    dims = [_dim(size, symbols, ranges, output=output) for size in _sizes(value)]
    return {"name": name, "dtype": dtype_name("output" if output else "input", name, value), "dims": dims}


def _dim(size: Any, symbols: dict[Any, str], ranges: dict[Any, Any], *, output: bool) -> Any:
    if isinstance(size, int) or size.is_Integer:
        return int(size)
    if size in symbols:
        return _dynamic(symbols[size], ranges.get(size))
    text = str(size.subs({symbol: sympy.Symbol(name) for symbol, name in symbols.items()}))
    # A derived dim, such as 2*batch + 1.
    symbol = next(iter(size.free_symbols)) if len(size.free_symbols) == 1 else None
    if symbol in symbols:
        factor, offset = size.coeff(symbol), size.subs(symbol, 0)
        if factor.is_Integer and offset.is_Integer and sympy.expand(size - factor * symbol - offset) == 0:
            derived = {"of": symbols[symbol], "factor": int(factor), "offset": int(offset)}
            return _dynamic(text, bound_sympy(size, ranges)) | derived
    if output:
        return None  # computed from several sizes or from the data: known after the run
    raise WorkerError(
        f"an input has the size {text}",
        meaning="a size can be another's multiple plus a number; others cannot be checked before a call",
        fix="give that dim a name of its own in dynamic_shapes, or leave it fixed",
        kind="usage",
    )


def _dynamic(symbol: str, bound: Any) -> dict[str, Any]:
    low, high = bounds(bound)
    return {"symbol": symbol, "min": low, "max": high}


def bounds(bound: Any) -> tuple[int, int | None]:
    """Smallest and largest size of a value range; None when unbounded."""
    if bound is None:
        return 0, None
    # torch's infinities are sympy objects of its own; what is no machine integer counts as unbounded.
    lower = int(bound.lower) if bound.lower.is_Integer else 0
    upper = int(bound.upper) if bound.upper.is_Integer and bound.upper < sys.maxsize - 1 else None
    return max(lower, 0), upper
