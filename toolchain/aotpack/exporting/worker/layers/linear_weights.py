"""Which weights linear layers multiply by, and on how many rows: what a bundle's packing of them is chosen by."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch


def finder(rows: dict[str, int]) -> Callable[[torch.fx.Graph], None]:
    """A pass over a frozen graph that changes nothing and writes down its finds.

    Args:
        rows: is filled: by name of a constant that oneDNN has packed and that linear layers alone use, the rows of the
            example; 0 where that is not known.
    """

    # A function: Inductor copies its options, and an object with all it has found would be lost.
    def find(graph: torch.fx.Graph) -> None:
        for node in graph.find_nodes(op="get_attr"):
            weight = getattr(graph.owning_module, node.target, None)
            if not isinstance(weight, torch.Tensor) or not weight.is_mkldnn or weight.dim() != 2:
                continue
            counts = [_rows(user, weight) for user in node.users]
            known = [count for count in counts if count is not None]
            if known and len(known) == len(counts):
                rows[node.target] = max(known)

    return find


def _rows(user: torch.fx.Node, weight: torch.Tensor) -> int | None:
    """How many rows a linear layer works on; None where a node is something else.

    It is told by its arguments: once fused with what follows it, its target is a function of Inductor's own.
    """
    first = user.args[0] if user.args else None
    value = first.meta.get("val") if isinstance(first, torch.fx.Node) else None
    if not isinstance(value, torch.Tensor) or value.dim() == 0 or value.shape[-1] != weight.shape[1]:
        return None
    return math.prod(size if isinstance(size, int) else size.node.hint or 0 for size in value.shape[:-1])
