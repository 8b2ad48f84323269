"""Complex values that tensors of several dims index: `x[i.T]`.

Inductor leaves them to libtorch, whose kernel lays its result out as the indices lie. How the result is taken to lie
follows from the indexed values alone, so that generated code reads other places of one that is transposed (pytorch
2.13).
"""

from __future__ import annotations

from typing import Any

import torch
from torch._inductor.inductor_prims import force_stride_order

_INDEXING = (torch.ops.aten.index.Tensor, torch.ops.aten._unsafe_index.Tensor)


def lie_in_order(graph: torch.fx.Graph) -> None:
    """Let such indices lie in C order."""
    for node in [node for target in _INDEXING for node in graph.find_nodes(op="call_function", target=target)]:
        values, indices = node.args
        if values.meta["val"].is_complex():
            with graph.inserting_before(node):
                node.update_arg(1, [_in_order(graph, index) for index in indices])


def _in_order(graph: torch.fx.Graph, index: Any) -> Any:
    if index is None or index.meta["val"].dim() < 2:
        return index
    value = index.meta["val"].contiguous()
    ordered = graph.call_function(force_stride_order, (index, value.stride()))
    ordered.meta["val"] = value
    return ordered
