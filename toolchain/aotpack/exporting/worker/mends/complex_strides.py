"""Complex outputs of a graph with convolutions.

Where Inductor chooses how tensors lie, it asks for the strides of outputs by an op that it generates code for. Whatever
is complex it leaves to libtorch instead, which has no such op (pytorch 2.13). A bundle's outputs may lie as they like.
"""

from __future__ import annotations

import torch
from torch._inductor.inductor_prims import force_stride_order


def leave(graph: torch.fx.Graph) -> None:
    """Ask for no strides of complex tensors."""
    for node in graph.find_nodes(op="call_function", target=force_stride_order):
        if node.args[0].meta["val"].is_complex():
            node.replace_all_uses_with(node.args[0])
            graph.erase_node(node)
