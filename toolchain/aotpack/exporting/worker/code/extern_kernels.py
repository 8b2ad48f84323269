"""Ops without a C shim, which libtorch's proxy executor runs by their names at run time."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch._export.serde.serialize import GraphModuleSerializer

from ..failure import WorkerError, line_in

#: Beside the library `x.wrapper.so`.
SUFFIX = ".wrapper.json"
#: Where an implementation that serves our devices may be registered.
_KEYS = ("CPU", "CUDA", "CompositeExplicitAutograd", "CompositeImplicitAutograd")


@contextlib.contextmanager
def whole_descriptions() -> Iterator[None]:
    """Let Inductor write down all arguments of such ops.

    Its code passes keywords that were left at their default (`alpha=1` of a difference), its description leaves them
    out, and the executor then refuses the call: "Mismatch between ints consumed and num_ints".
    """
    original = GraphModuleSerializer.serialize_inputs

    def serialize_inputs(self: Any, target: Any, args: Any, kwargs: Any = None, *more: Any, **named: Any) -> Any:
        return original(self, target, args, {**_defaults(target), **(kwargs or {})}, *more, **named)

    GraphModuleSerializer.serialize_inputs = serialize_inputs
    try:
        yield
    finally:
        GraphModuleSerializer.serialize_inputs = original


def _defaults(target: Any) -> dict[str, Any]:
    """Keyword arguments of an op that have a default other than None."""
    if not isinstance(target, torch._ops.OpOverload):
        return {}
    return {
        argument.name: argument.default_value
        for argument in target._schema.arguments
        if argument.kwarg_only and argument.default_value is not None
    }


def refuse_python(files: Sequence[str], program: Any, source: Path) -> None:
    """Raise WorkerError for an op that exists in Python alone: no bundle can run it.

    Args:
        files: what AOTInductor made.
        program: the graph, whose nodes know the line of `source`, the user's file, that they come from.
    """
    for name in _names(files):
        if not _is_python(name):
            continue
        lines = [
            line_in(str(node.meta.get("stack_trace") or ""), source)
            for node in program.graph.nodes
            if isinstance(node.target, torch._ops.OpOverload) and node.target._schema.name == name
        ]
        where = next((f", called {line}" for line in lines if line), "")
        raise WorkerError(
            f"the op {name} exists in Python alone, and a bundle has no Python to run it with",
            meaning=f"the model calls it by its name at run time{where}",
            fix="write it with torch's own ops, or register it from C++ (TORCH_LIBRARY)",
            kind="model",
        )


def _names(files: Sequence[str]) -> list[str]:
    names: dict[str, None] = {}
    for file in files:
        if file.endswith(SUFFIX):
            for entry in json.loads(Path(file).read_text())["nodes"]:
                # `torch.ops.ns.name.overload`, `ns::name` or `ns::name.overload`, as the release writes it.
                target = str(entry["node"]["target"]).removeprefix("torch.ops.").replace("::", ".")
                names.setdefault("::".join(target.split(".")[:2]))
    return list(names)


def _is_python(name: str) -> bool:
    """Whether the op's own implementation was registered by torch.library."""
    namespace, _, short = name.partition("::")
    registered = torch.library._impls
    return any(entry.split("/")[:2] == [namespace, short] and entry.split("/")[-1] in _KEYS for entry in registered)
