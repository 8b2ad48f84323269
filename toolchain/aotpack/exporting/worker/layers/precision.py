"""In which precision layers are asked for, and in which they are computed: told from the graphs before and after."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from .quantised_weights import NARROW

#: Ops with weights by their names without namespace and overload: the kind of layer, and where the weight stands.
_LAYERS: dict[str, tuple[str, int]] = {
    "linear": ("linear layer", 1),
    "mm": ("linear layer", 1),
    "matmul": ("linear layer", 1),
    "addmm": ("linear layer", 2),
    "_linear_pointwise": ("linear layer", 1),
    "_mkl_linear": ("linear layer", 1),
    "qlinear_pointwise": ("linear layer", 3),
    "_int_mm": ("linear layer", 1),
    "_weight_int8pack_mm": ("linear layer", 1),
    "_weight_int4pack_mm_for_cpu": ("linear layer", 1),
    "int4mm_packed_weight_cpu": ("linear layer", 1),
    "_dyn_quant_matmul_4bit": ("linear layer", 1),
    "_scaled_mm": ("linear layer", 1),
    "convolution": ("convolution", 1),
    "conv1d": ("convolution", 1),
    "conv2d": ("convolution", 1),
    "conv3d": ("convolution", 1),
    "conv_transpose1d": ("convolution", 1),
    "conv_transpose2d": ("convolution", 1),
    "conv_transpose3d": ("convolution", 1),
    "_convolution_pointwise": ("convolution", 1),
    "_convolution_pointwise_": ("convolution", 1),
    "_convolution_transpose_pointwise": ("convolution", 1),
    "qconv_pointwise": ("convolution", 3),
    "qconv2d_pointwise": ("convolution", 3),
    "embedding": ("embedding", 0),
    "mkldnn_rnn_layer": ("recurrent layer", 1),
    "lstm": ("recurrent layer", -1),
    "gru": ("recurrent layer", -1),
}
#: Ops that multiply bytes by bytes.
_OF_BYTES = ("qlinear_pointwise", "qconv_pointwise", "qconv2d_pointwise", "_int_mm", "_dyn_quant_matmul_4bit")
#: Where functions stand that Inductor puts into graphs for layers and what is fused to them.
_FUSIONS = "torch._inductor.fx_passes.mkldnn_fusion"
_OF_FOUR_BITS = ("_weight_int4pack_mm_for_cpu", "int4mm_packed_weight_cpu", "_dyn_quant_matmul_4bit")


@dataclass(frozen=True)
class Layer:
    """One of a graph.

    Attributes:
        kind: such as `linear layer`.
        stored: the dtype that the weight is stored in, `int4` for packed nibbles.
        computed: the dtype that products are computed in; `int8` for bytes by bytes.
        is_quantised: whether the weight is stored in fewer bits than it stands for.
    """

    kind: str
    stored: str
    computed: str
    is_quantised: bool

    @property
    def precision(self) -> str:
        """`int8`, `int8 weights`, `float32`, ..."""
        if self.computed in ("int8", self.stored) or not self.is_quantised:
            return self.computed
        return f"{self.stored} weights"


def layers(graph: torch.fx.Graph) -> list[Layer]:
    """The layers of an exported graph, or of one that Inductor has worked on."""
    found = []
    for node in graph.nodes:
        if node.op != "call_function":
            continue
        name = _name(node.target)
        if name not in _LAYERS:
            found += _fused(node)
            continue
        kind, at = _LAYERS.get(name, ("", 0))
        weight = node.args[at] if kind and len(node.args) > abs(at) else None
        if at == -1 and kind:
            found.append(Layer(kind, _dtype(node), _dtype(node), False))
            continue
        if not isinstance(weight, torch.fx.Node):
            continue
        origin = _origin(weight)
        if origin is None:
            continue  # a product of two inputs, as in attention
        stored = "int4" if name in _OF_FOUR_BITS else _short(origin)
        narrow = origin in NARROW
        computed = "int8" if name in _OF_BYTES else _dtype(node)
        found.append(Layer(kind, stored, computed, narrow or stored == "int4"))
    return found


def _fused(node: torch.fx.Node) -> list[Layer]:
    """The layer that a function of Inductor's own is, with what is fused to it: told by its weight.

    That is packed, unless the layer's input is one whose sizes vary, and has one channel.
    """
    is_layer = isinstance(node.target, functools.partial) and node.target.func.__module__ == _FUSIONS
    constants = [_attribute(given) for given in node.all_input_nodes if given.op == "get_attr"]
    weights = [each for each in constants if isinstance(each, torch.Tensor) and each.dim() >= 2]
    weights.sort(key=lambda each: not each.is_mkldnn)
    if not weights or not (weights[0].is_mkldnn or is_layer):
        return []
    dtype = _short(weights[0].dtype)
    kind = "linear layer" if weights[0].dim() == 2 else "convolution"
    return [Layer(kind, dtype, dtype, weights[0].dtype in NARROW)]


def observer(found: list[Layer]) -> Callable[[torch.fx.Graph], None]:
    """A pass that changes nothing and adds what it sees to `found`: Inductor calls it for each graph once."""

    def observe(graph: torch.fx.Graph) -> None:
        found.extend(layers(graph))

    return observe


def describe(found: Sequence[Layer]) -> list[dict[str, Any]]:
    """`aotpack.package.metadata.LayerPrecision`s: kind, precision, how many."""
    counts = Counter((layer.kind, layer.precision) for layer in found)
    return [{"kind": kind, "precision": precision, "count": count} for (kind, precision), count in counts.items()]


def saturating(found: Sequence[Layer]) -> list[str]:
    """A sentence on libtorch's products of bytes, where layers multiply those."""
    if not any(layer.computed == "int8" for layer in found):
        return []
    sentence = (
        "its products of bytes are exact in the slim runtime on every CPU; the full one's saturate on CPUs without "
        "VNNI, with other results: for those quantise with reduce_range=True"
    )
    return [sentence]


def lost(asked: Sequence[Layer], made: Sequence[Layer], *, frozen: bool) -> list[str]:
    """A sentence for each kind of layer that is quantised in the graph, and not, or less so, in the code."""
    sentences = []
    for kind in dict.fromkeys(layer.kind for layer in asked):
        wanted = sum(layer.is_quantised for layer in asked if layer.kind == kind)
        have = sum(layer.is_quantised for layer in made if layer.kind == kind)
        floats = [layer.computed for layer in made if layer.kind == kind and not layer.is_quantised]
        if have >= wanted or not floats:
            continue
        some = f"{wanted - have} of {wanted} quantised {kind}{'s' if wanted > 1 else ''}"
        why = (
            "this torch has no quantised code for how they are used"
            if frozen
            else "without frozen constants torch dequantises weights beforehand; leave --constants updatable out"
        )
        sentences.append(f"{some} run in {floats[0]}: {why}")
    return sentences


def _name(target: Any) -> str:
    """`aten.mm.default` -> `mm`."""
    if isinstance(target, torch._ops.OpOverload):
        return str(target._schema.name).rpartition("::")[2]
    return str(getattr(target, "__name__", "")).partition(".")[0]


def _dtype(node: torch.fx.Node) -> str:
    value = node.meta.get("val")
    value = value[0] if isinstance(value, (tuple, list)) and value else value
    return _short(value.dtype) if isinstance(value, torch.Tensor) else "unknown"


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _origin(node: torch.fx.Node) -> torch.dtype | None:
    """The dtype that a weight is stored in, the narrowest on the way to it; None for what comes from an input."""
    seen: set[torch.fx.Node] = set()
    waiting = [node]
    dtypes: list[torch.dtype] = []
    while waiting:
        one = waiting.pop()
        if one in seen:
            continue
        seen.add(one)
        value = one.meta.get("val")
        if one.op == "placeholder" and not str(one.name).startswith(("p_", "b_", "c_")):
            return None
        if isinstance(value, torch.Tensor) and (value.dim() >= 2 or one is node):
            dtypes.append(value.dtype)
        elif one.op == "get_attr" and one is node:
            dtypes.append(_attribute(one).dtype)
        waiting += one.all_input_nodes
    narrow = [dtype for dtype in dtypes if dtype in NARROW]
    return narrow[0] if narrow else (dtypes[0] if dtypes else None)


def _attribute(node: torch.fx.Node) -> Any:
    value: Any = node.graph.owning_module
    for part in str(node.target).split("."):
        value = getattr(value, part)
    return value
