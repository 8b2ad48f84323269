"""Outputs that are what a buffer held before the call changed it.

Inductor takes a copy of a buffer for the buffer itself, and hands out as an output what it writes the new value into
(pytorch 2.13, `remove_noop_ops`, which knows of inputs alone).
"""

from __future__ import annotations

from typing import Any

import torch

_copy_into = torch.ops.aten.copy_.default


def keep(graph: torch.fx.Graph) -> None:
    """Let outputs that lie in memory that the graph writes into be copies, made before."""
    written = [node.args[0] for node in graph.nodes if node.op == "call_function" and node.target is _copy_into]
    memory = {_storage(node) for node in written if node.op in ("get_attr", "placeholder")} - {None}
    if not memory:
        return
    (output,) = graph.find_nodes(op="output")
    copies: dict[Any, Any] = {}

    def kept(node: Any) -> Any:
        # The new value is the result of another op: functional graphs know of no other way.
        if node.target is _copy_into or _storage(node) not in memory:
            return node
        if node not in copies:
            with graph.inserting_after(node):
                copies[node] = graph.call_function(torch.ops.aten.clone.default, (node,))
            copies[node].meta = {key: value for key, value in node.meta.items() if key != "val"}
            copies[node].meta["val"] = node.meta["val"].clone()
        return copies[node]

    output.args = torch.fx.map_arg(output.args, kept)


def _storage(node: Any) -> int | None:
    value = node.meta.get("val")
    return value.untyped_storage()._cdata if isinstance(value, torch.Tensor) and value.layout == torch.strided else None
