"""The signature of an exported program: names, dtypes, dims with their ranges, guards."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch.utils._sympy.value_ranges import bound_sympy

from .. import naming
from ..carriable import dtype_name
from ..eager import nesting
from ..eager.running import Run
from ..failure import WorkerError, essence, line_in, own_line
from ..subject import Subject
from . import guards
from .guards import Guard
from .symbols import Linear, Size, Symbols, asked_of_inputs, is_number, name_symbols, sizes_of, valued


@dataclass
class Signature:
    """Inputs and outputs in call order, as `aotpack.package.metadata.TensorSpec` documents."""

    inputs: list[dict[str, Any]]
    outputs: list[dict[str, Any]]
    guards: list[Guard]
    #: Expressions of each input's sizes over the program's symbols, parallel to `inputs`.
    input_sizes: list[list[Size]]
    symbols: Symbols
    #: Symbol -> its value range in torch's terms; see `bounds`.
    ranges: dict[Any, Any]
    notes: list[str] = field(default_factory=list)

    def shapes(self, values: Mapping[Any, int]) -> list[list[int]]:
        """Sizes of the inputs where the symbols have these values."""
        return [[valued(size, values) for size in sizes] for sizes in self.input_sizes]

    def admits(self, values: Mapping[Any, int]) -> bool:
        """Whether a bundle takes inputs of these sizes."""
        for spec, shape in zip(self.inputs, self.shapes(values), strict=True):
            for dim, size in zip(spec["dims"], shape, strict=True):
                low, high = (dim["min"], dim["max"]) if isinstance(dim, dict) else (dim, dim)
                if size < low or (high is not None and size > high):
                    return False
        named = self.symbols.values(values)
        return all(guard.holds(named) for guard in self.guards)

    def fixed_since(self, before: Signature) -> list[str]:
        """Dims of inputs that were dynamic in an earlier signature of the same program: `x.shape[2] = 16`."""
        return [
            f"{now['name']}.shape[{index}] = {dim}"
            for now, then in zip(self.inputs, before.inputs, strict=True)
            for index, (dim, was) in enumerate(zip(now["dims"], then["dims"], strict=True))
            if isinstance(dim, int) and not isinstance(was, int)
        ]


@dataclass
class _Input:
    """A tensor among the inputs."""

    name: str
    #: Fake, of the graph.
    value: Any
    #: What `dynamic_shapes` says of it.
    asked: Any
    mutated: bool


def describe(program: Any, subject: Subject, run: Run, written: Written, demands: list[Any]) -> Signature:
    """The signature of `program`, exported from `subject`, as far as torch knows sizes by now.

    Args:
        run: an eager call, which tells the outputs' names.
        written: what it writes into.
        demands: what sizes must satisfy; see `guards.demands`.

    Raises WorkerError for what a bundle cannot carry.
    """
    notes: list[str] = []
    tensors = _tensors(program, subject, written, notes)
    symbols = name_symbols([(tensor.name, sizes_of(tensor.value), tensor.asked) for tensor in tensors])
    ranges = symbols.ranges(program.range_constraints)
    sizes = [symbols.sizes(tensor.value) for tensor in tensors]
    unknown = {symbol for size in symbols.others for symbol in size.free_symbols} - set(symbols.names)
    if unknown:
        raise _untold(symbols)
    try:
        found = guards.guards(map(symbols.rooted, demands), symbols, ranges)
    except guards.NotInTheLanguageError as error:
        raise WorkerError(
            f"the sizes must satisfy a condition that a bundle has no words for: {symbols.text(error.part)}",
            meaning="a bundle checks whole numbers before a call: + - * // %, comparisons, min and max",
            fix="leave these dims fixed (None in dynamic_shapes), or accept that with --allow-fixed",
            kind="model",
        ) from error
    inputs = [
        {**_spec("input", tensor.name, tensor.value, symbols, ranges), "mutated": tensor.mutated} for tensor in tensors
    ]
    _refuse_other_example(inputs, run)
    outputs = _outputs(program, run, symbols, ranges)
    return Signature(inputs, outputs, found, sizes, symbols, ranges, notes)


def _refuse_absent_dims(name: str, tensor: Any, asked: Any) -> None:
    """Raise WorkerError for a dim that the input does not have, which torch.export passes over in silence."""
    absent = [dim for dim in asked if dim not in range(tensor.dim())] if isinstance(asked, dict) else []
    if absent:
        raise WorkerError(
            f"dynamic_shapes names dim {absent[0]} of input {name}, whose sizes are {list(tensor.shape)}",
            meaning=f"its dims are numbered from 0 to {tensor.dim() - 1}" if tensor.dim() else "it has no dims",
            fix="correct dynamic_shapes, or the example input",
            kind="usage",
        )


def _refuse_other_example(inputs: list[dict[str, Any]], run: Run) -> None:
    """Raise WorkerError for an example input out of the range that is declared: the package would not take it."""
    for spec, tensor in zip(inputs, run.inputs, strict=True):
        for index, (dim, size) in enumerate(zip(spec["dims"], tensor.shape, strict=True)):
            low, high = (dim["min"], dim["max"]) if isinstance(dim, dict) else (dim, dim)
            if size < low or (high is not None and size > high):
                raise WorkerError(
                    f"the example input {spec['name']} has size {size} at dim {index}, which is not in {low}..{high}",
                    meaning="dynamic_shapes declares that range, and the package will take nothing else",
                    fix="give an example of a size in the range, or widen the range",
                    kind="usage",
                )


def _tensors(program: Any, subject: Subject, written: Written, notes: list[str]) -> list[_Input]:
    flat = nesting.leaves((subject.args, subject.kwargs))
    names = naming.input_names(subject.module.forward, [path for path, _leaf in flat])
    placeholders = {node.name: node for node in program.graph.nodes if node.op == "placeholder"}
    user_inputs = [spec.arg for spec in program.graph_signature.input_specs if spec.kind.name == "USER_INPUT"]
    tensors = []
    specs = asked_of_inputs(subject.dynamic_shapes, subject)
    for name, asked, (_, leaf), argument in zip(names, specs, flat, user_inputs, strict=True):
        node = placeholders.get(getattr(argument, "name", ""))
        value = None if node is None else node.meta.get("val")
        if isinstance(leaf, torch.Tensor):
            _refuse_absent_dims(name, leaf, asked)
            tensors.append(_Input(name, value, asked, argument.name in written.inputs))
        elif isinstance(value, (torch.SymInt, torch.SymFloat, torch.SymBool)):
            raise WorkerError(
                f"input {name}: a symbolic integer is unsupported as an input",
                meaning=f"a bundle takes tensors; dynamic_shapes lets the number {name} = {leaf!r} vary",
                fix=f"put None there, which fixes {name} = {leaf!r}, or let {name} be the size of a tensor",
                kind="usage",
            )
        elif leaf is not None:
            notes.append(f"input {name} is not a tensor: its value {leaf!r} is fixed in the package")
    return tensors


def _outputs(program: Any, run: Run, symbols: Symbols, ranges: dict[Any, Any]) -> list[dict[str, Any]]:
    returned = next(node for node in program.graph.nodes if node.op == "output").args[0]
    kinds = [spec.kind.name for spec in program.graph_signature.output_specs]
    values = [node.meta["val"] for node, kind in zip(returned, kinds, strict=True) if kind == "USER_OUTPUT"]
    names = naming.output_names(run.output_paths)
    for name, value, eager in zip(names, values, run.outputs, strict=True):
        dtype = dtype_name("output", name, eager)  # a graph may have another: torch.export has no quantised tensors
        if dtype_name("output", name, value) != dtype:
            raise WorkerError(
                f"output {name} is of {str(value.dtype).removeprefix('torch.')} in the graph, and {dtype} in Python",
                meaning="torch.export computes something else than the module does",
                fix=f"convert it inside the module: .to(torch.{dtype})",
                kind="usage",
            )
    return [_spec("output", name, value, symbols, ranges) for name, value in zip(names, values, strict=True)]


@dataclass(frozen=True)
class Written:
    """What a program writes into in place."""

    #: Placeholders of inputs.
    inputs: frozenset[str]
    #: Names of the module's own buffers.
    buffers: tuple[str, ...]


def written_by(program: Any, source: Path) -> Written:
    """What the program of a module in the file `source` writes into in place. Raises WorkerError."""
    modules = [module for module in program.graph_module.modules() if isinstance(module, torch.fx.GraphModule)]
    targets = [node.target for module in modules for node in module.graph.nodes if node.op == "call_function"]
    if any(map(_may_write, targets)):
        # Only a functional graph tells of what has been written, through whatever views. Making it traces once more.
        try:
            program = program.run_decompositions({})
        except Exception as error:
            traceback.print_exc()
            raise _changes_attribute(program, source, error) from error
    signature = program.graph_signature
    if signature.parameters_to_mutate:
        name = next(iter(signature.parameters_to_mutate.values()))
        raise WorkerError(
            f"the module changes its parameter {name} in a call",
            meaning="a package carries a state in buffers alone",
            fix=f'make it a buffer: self.register_buffer("{name.split(".")[-1]}", ...) in __init__',
            kind="usage",
        )
    return Written(
        frozenset(signature.user_inputs_to_mutate.values()), tuple(dict.fromkeys(signature.buffers_to_mutate.values()))
    )


def returned_buffers(program: Any) -> list[str]:
    """Names of buffers that an output of the graph, or a view that is one, lies in."""
    (output,) = program.graph.find_nodes(op="output")
    returned = {_storage(node) for node in output.all_input_nodes}
    values = {node.name: node for node in program.graph.find_nodes(op="placeholder")}
    buffers = [spec for spec in program.graph_signature.input_specs if spec.kind.name == "BUFFER"]
    return [spec.target for spec in buffers if _storage(values[spec.arg.name]) in returned - {None}]


def _storage(node: Any) -> int | None:
    return _storage_of(node.meta.get("val"))


def _storage_of(value: Any) -> int | None:
    """The same of tensors that share memory; None for what lies in no memory that can be told."""
    if not isinstance(value, torch.Tensor) or value.layout != torch.strided:
        return None
    try:
        return int(value.untyped_storage()._cdata)
    except NotImplementedError:  # of torch.func, while it differentiates
        return None


def _changes_attribute(program: Any, source: Path, error: Exception) -> WorkerError:
    """The module writes into a tensor that is neither a parameter nor a buffer: find it, and where."""
    constants = {
        spec.arg.name: spec.target
        for spec in program.graph_signature.input_specs
        if spec.kind.name == "CONSTANT_TENSOR"
    }
    for node in program.graph.nodes:
        written = node.op == "call_function" and _may_write(node.target) and node.args
        name = constants.get(getattr(node.args[0], "name", "")) if written else None
        if name is not None:
            is_own = not name.startswith("lifted_tensor_")
            line = line_in(str(node.meta.get("stack_trace") or ""), source)
            return WorkerError(
                f"the module changes its attribute {name}, which is no buffer"
                if is_own
                else "the module changes a tensor that is neither its own nor an input",
                meaning=f"torch.export carries a state in buffers alone{f'; it is changed {line}' if line else ''}",
                fix=f'register it: self.register_buffer("{name if is_own else "NAME"}", ...) in __init__',
                kind="usage",
            )
    shared = _of_one_memory({**program.state_dict, **program.constants})
    if shared:
        return WorkerError(
            f"the module writes into memory that {' and '.join(shared)} share",
            meaning="torch.export carries each parameter and buffer by itself: one would not see the other's change",
            fix="register one buffer, and take views of it in forward()",
            kind="usage",
        )
    given = [leaf for _, leaf in nesting.leaves(program.example_inputs)]
    shared = _of_one_memory(dict(zip(program.graph_signature.user_inputs, given, strict=False)))
    if shared:
        return WorkerError(
            f"the module writes into an input, and the examples {' and '.join(map(str, shared))} share memory",
            meaning="inputs of a bundle are arrays of their own: one does not see what is written into the other",
            fix="give examples that share nothing, such as x.clone()",
            kind="usage",
        )
    where = own_line(error, source)
    return WorkerError(
        "torch.export cannot trace the module",
        meaning=f"it stops{f' {where}' if where else ''}, and says: {essence(error)}",
        fix="change inputs and registered buffers only, and none in branches and loops; -v shows torch's full message",
    )


def _of_one_memory(tensors: Mapping[str, Any]) -> list[str]:
    """The first names whose tensors lie in the same storage; none where each has its own."""
    found: dict[int, list[str]] = {}
    for name, tensor in tensors.items():
        if (storage := _storage_of(tensor)) is not None and tensor.numel():
            found.setdefault(storage, []).append(name)
    return next((names for names in found.values() if len(names) > 1), [])


def _may_write(target: Any) -> bool:
    if isinstance(target, torch._ops.OpOverload):
        return bool(target._schema.is_mutable)
    return isinstance(target, torch._ops.HigherOrderOperator)


def _spec(role: str, name: str, value: Any, symbols: Symbols, ranges: dict[Any, Any]) -> dict[str, Any]:
    dims = [_dim(size, symbols, ranges) for size in symbols.sizes(value)]
    return {"name": name, "dtype": dtype_name(role, name, value), "dims": dims}


def _dim(size: Size, symbols: Symbols, ranges: dict[Any, Any]) -> Any:
    if is_number(size):
        return int(size)
    if size in symbols.others:
        return _dynamic(symbols.others[size], bound_sympy(size, ranges))
    linear = Linear.of(size)
    if linear is None or linear.symbol not in symbols.names:
        return None  # of an output, computed from several sizes or from the data: known after the run
    name = symbols.names[linear.symbol]
    if size == linear.symbol:
        return _dynamic(name, ranges.get(size))
    derived = {"of": name, "factor": linear.factor, "offset": linear.offset}
    return _dynamic(symbols.text(size), bound_sympy(size, ranges)) | derived


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


def _untold(symbols: Symbols) -> WorkerError:
    sizes = ", ".join(f"{symbols.terms[name]} = {name}" for name in symbols.others.values())
    return WorkerError(
        f"a size of an input cannot be told from the inputs: {sizes}",
        meaning="each size that varies must be one input's own, or a multiple of it plus a number",
        fix="give that dim a name of its own in dynamic_shapes, or leave it fixed",
        kind="usage",
    )
