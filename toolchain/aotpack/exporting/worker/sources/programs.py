"""Programs of torch.export: read from a file, and their sizes told again in the terms of torch.export."""

from __future__ import annotations

import inspect
import traceback
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch.utils import _pytree as pytree

from ..failure import WorkerError, essence
from ..graph.signature import bounds
from ..graph.symbols import Linear
from ..subject import Subject
from .preparing import subject_of


def read(path: Path) -> Any:
    """What torch.export.save wrote. Raises WorkerError."""
    if _is_compiled(path):
        raise WorkerError(
            f"{path}: compiled already",
            meaning="a program that torch.export.save wrote can be exported; this is a package for aotpack build",
            fix=f"aotpack build {path}",
            kind="usage",
        )
    try:
        return torch.export.load(str(path))
    except Exception as error:
        traceback.print_exc()
        raise WorkerError(
            f"{path}: torch {torch.__version__} cannot load it: {essence(error)}",
            meaning="a .pt2 is exported that torch.export.save wrote, best with this very torch",
            fix="save it again with this torch, or name its function: aotpack export FILE.py:FUNCTION",
            kind="usage",
        ) from error


def _is_compiled(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return any("/data/aotinductor/" in name for name in archive.namelist())
    except (zipfile.BadZipFile, OSError, NotImplementedError):
        return False  # torch has a say


def subject_of_program(program: Any, path: Path, device: str) -> Subject:
    """A program with the inputs that it was traced with; its sizes vary as they did. Raises WorkerError."""
    if program.example_inputs is None:
        raise WorkerError(
            f"{path}: the program was saved without example inputs",
            meaning="they tell the types and sizes of the inputs, and are what the package is compared on",
            fix="save what torch.export.export returned, unchanged",
            kind="usage",
        )
    module = program.module()
    args, kwargs = program.example_inputs
    return subject_of(path, module, tuple(args), dict(kwargs), _dynamic_shapes(program, module), device)


def _dynamic_shapes(program: Any, module: Any) -> Any:
    """The sizes that vary: one Dim for each symbol, and what is derived of it."""
    dims: dict[Any, Any] = {}

    def dim(size: Any) -> Any:
        linear = Linear.of(size.node.expr)
        if linear is None:
            return torch.export.Dim.AUTO
        symbol = linear.symbol
        if symbol not in dims:
            low, high = bounds(program.range_constraints.get(symbol))
            dims[symbol] = torch.export.Dim(str(symbol), min=low, max=high)
        derived = linear.factor * dims[symbol] if linear.factor != 1 else dims[symbol]
        return derived + linear.offset if linear.offset else derived

    values = {node.name: node.meta.get("val") for node in program.graph.nodes if node.op == "placeholder"}
    names = [spec.arg.name for spec in program.graph_signature.input_specs if spec.kind.name == "USER_INPUT"]
    shapes: list[Any] = []
    for name in names:
        sizes = getattr(values.get(name), "shape", ())
        shapes.append({place: dim(size) for place, size in enumerate(sizes) if not isinstance(size, int)} or None)
    if not any(shapes):
        return None
    args, kwargs = program.example_inputs
    _, structure = pytree.tree_flatten((args, kwargs))
    by_position, by_name = pytree.tree_unflatten(shapes, structure)
    if not by_name:
        return tuple(by_position)
    positional = list(inspect.signature(module.forward).parameters)[: len(by_position)]
    return {**dict(zip(positional, by_position, strict=True)), **by_name}
