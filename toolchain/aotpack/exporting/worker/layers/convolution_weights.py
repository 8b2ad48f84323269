"""How convolutions work whose weights are packed: what another CPU needs to know to pack them for itself."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch._inductor import constant_folding

#: What packs a weight, and whether the convolution is transposed: then `output_padding` follows `padding`.
_PACKING = {"_reorder_convolution_weight": False, "_reorder_convolution_transpose_weight": True}

#: A packed weight, and `aotpack.package.metadata.Convolution` as a dict.
Packed = tuple[torch.Tensor, dict[str, Any]]


@contextlib.contextmanager
def recorded(packed: list[Packed]) -> Iterator[None]:
    """Write down what Inductor packs when it folds constants: a frozen graph has the results alone.

    Args:
        packed: is filled.
    """
    run_node = constant_folding.ConstantFolder.run_node

    def run(self: Any, node: torch.fx.Node) -> Any:
        made = run_node(self, node)
        if isinstance(made, torch.Tensor) and made.is_mkldnn:
            convolution = _convolution(node)
            if convolution is not None:
                packed.append((made, convolution))
        return made

    constant_folding.ConstantFolder.run_node = run
    try:
        yield
    finally:
        constant_folding.ConstantFolder.run_node = run_node


def _convolution(node: torch.fx.Node) -> dict[str, Any] | None:
    """What a node that packs a weight says of the convolution; None of another node, or where a size is not known."""
    for name, is_transposed in _PACKING.items():
        packet = getattr(torch.ops.mkldnn, name)
        if node.target not in (packet, packet.default):
            continue
        padding, *rest = node.args[1:]
        output_padding = rest.pop(0) if is_transposed else None
        stride, dilation, groups, size = rest
        lists = {"padding": padding, "stride": stride, "dilation": dilation}
        lists |= {} if output_padding is None else {"output_padding": output_padding}
        lists |= {} if size is None else {"input": size}
        if all(isinstance(number, int) for numbers in lists.values() for number in numbers):
            return {**{key: list(numbers) for key, numbers in lists.items()}, "groups": groups}
    return None


def finder(packed: list[Packed], convolutions: dict[str, dict[str, Any]]) -> Callable[[torch.fx.Graph], None]:
    """A pass over a frozen graph that changes nothing and writes down its finds.

    Args:
        packed: what `recorded` has filled.
        convolutions: is filled: how it works, by name of a constant that oneDNN has packed for a convolution.
    """

    def find(graph: torch.fx.Graph) -> None:
        for node in graph.find_nodes(op="get_attr"):
            weight = getattr(graph.owning_module, node.target, None)
            for made, convolution in packed:
                if made is weight:
                    convolutions[node.target] = convolution

    return find
