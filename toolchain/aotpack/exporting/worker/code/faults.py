"""Where in the user's code a compilation failed: which op, and the line that calls it."""

from __future__ import annotations

import types
from pathlib import Path
from typing import Any

import torch
from torch._inductor.ir import IRNode

from ..failure import chain, line_in


def node_of(error: BaseException) -> Any:
    """The node of the graph that was being worked on when the error was raised; None when none was."""
    found = None
    for each in reversed(chain(error)):
        current: types.TracebackType | None = each.__traceback__
        while current is not None:
            for value in current.tb_frame.f_locals.values():
                node = _node_in(value)
                if node is not None and isinstance(node.target, torch._ops.OpOverload):
                    found = node
            current = current.tb_next
        if found is not None:
            break
    return found


def _node_in(value: Any) -> Any:
    """A node of the graph, or the one that a buffer of Inductor's comes from; None for everything else."""
    if isinstance(value, torch.fx.Node):
        return value
    if isinstance(value, IRNode):
        node = getattr(value, "fx_node", None) or getattr(value, "origin_node", None)
        return node if isinstance(node, torch.fx.Node) else None
    return None


def op_name(node: Any) -> str:
    """`aten.add.Tensor`."""
    return str(node.target)


def user_line(node: Any, program: Any, path: Path) -> str:
    """The user's line that a node comes from: `at model.py line 12: x + one`; empty when it is not known."""
    line = line_in(str(node.meta.get("stack_trace") or ""), path)
    if line:
        return line
    # A node that torch has rewritten may have lost it: the op by that name in the graph that was exported.
    for original in program.graph.nodes:
        same = original.op == "call_function" and str(original.target).split(".")[:2] == str(node.target).split(".")[:2]
        if same and (line := line_in(str(original.meta.get("stack_trace") or ""), path)):
            return line
    return ""
