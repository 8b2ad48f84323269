"""Complex values that tensors of several dims index: `x[i.T]`.

Inductor leaves them to libtorch, whose kernel lays its result out as the indices lie. How the result is taken to lie
follows from the indexed values alone, so that generated code reads other places of one that is transposed (pytorch
2.13). Both go by the strides of dims of size 1 too, which say nothing, and not in the same way.
"""

from __future__ import annotations

from typing import Any

import torch
from torch._inductor.inductor_prims import force_stride_order

_INDEXING = (torch.ops.aten.index.Tensor, torch.ops.aten._unsafe_index.Tensor)


def lie_in_order(graph: torch.fx.Graph) -> None:
    """Let such indices lie in C order, and what they index as well where it has dims of size 1."""
    for node in [node for target in _INDEXING for node in graph.find_nodes(op="call_function", target=target)]:
        values, indices = node.args
        if values.meta["val"].is_complex():
            with graph.inserting_before(node):
                node.update_arg(0, _complex_in_order(graph, values))
                node.update_arg(1, [None if index is None else _in_order(graph, index) for index in indices])


def _complex_in_order(graph: torch.fx.Graph, values: Any) -> Any:
    """There is code for the order of real tensors alone."""
    if not _ones(values) or values.meta["val"].is_conj():
        return values
    parts = _in_order(graph, _called(graph, torch.ops.aten.view_as_real.default, values))
    return _called(graph, torch.ops.aten.view_as_complex.default, parts)


def _ones(tensor: Any) -> list[int]:
    """Its dims of size 1."""
    return [dim for dim, size in enumerate(tensor.meta["val"].shape) if isinstance(size, int) and size == 1]


def _in_order(graph: torch.fx.Graph, tensor: Any) -> Any:
    """A tensor in C order, with the strides of that for dims of size 1 too, which no op asks for."""
    ones = _ones(tensor)
    for dim in reversed(ones):
        tensor = _called(graph, torch.ops.aten.squeeze.dim, tensor, dim)
    value = tensor.meta["val"].contiguous()
    if value.dim() > 1:
        tensor = graph.call_function(force_stride_order, (tensor, value.stride()))
        tensor.meta["val"] = value
    for dim in ones:
        tensor = _called(graph, torch.ops.aten.unsqueeze.default, tensor, dim)
    return tensor


def _called(graph: torch.fx.Graph, op: Any, tensor: Any, *others: int) -> Any:
    node = graph.call_function(op, (tensor, *others))
    node.meta["val"] = op(tensor.meta["val"], *others)
    return node
