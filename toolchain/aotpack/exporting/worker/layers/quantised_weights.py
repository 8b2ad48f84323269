"""Weights that the user has quantised stay so: neither folded back to floats, nor widened where they need not be.

Inductor folds what follows from constants, and a dequantised weight follows from constants: int8 weights of 0.7 MB
became 1.5 MB of float32 without a word. Here a conversion from eight bits to floats is never folded, and a product by a
dequantised weight [depth, columns] with one scale a column becomes torch's own op for that, which reads the bytes once.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch._inductor import constant_folding, freezing

#: What a quantised weight is stored as.
NARROW = tuple(
    getattr(torch, name)
    for name in ("int8", "uint8", "float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz")
    if hasattr(torch, name)
)
#: Smaller constants are tables and flags, not weights.
LEAST = 1024
#: The longest way from a stored weight to its product.
_LONGEST = 40

_PRODUCTS = {torch.ops.aten.mm.default: 1, torch.ops.aten.addmm.default: 2}


@contextlib.contextmanager
def kept() -> Iterator[None]:
    """Let Inductor keep quantised weights as they are stored."""
    is_impure = constant_folding.ConstantFolder.is_impure
    fold = freezing.constant_fold

    def keeps(self: Any, node: torch.fx.Node) -> bool:
        return widens(node) or bool(is_impure(self, node))

    def fold_after(module: torch.fx.GraphModule, *args: Any, **options: Any) -> Any:
        multiply_as_stored(module)
        return fold(module, *args, **options)

    constant_folding.ConstantFolder.is_impure = keeps
    freezing.constant_fold = fold_after
    try:
        yield
    finally:
        constant_folding.ConstantFolder.is_impure = is_impure
        freezing.constant_fold = fold


def widens(node: torch.fx.Node) -> bool:
    """Whether a node makes floats of a quantised weight."""
    value = node.meta.get("val")
    if node.op != "call_function" or not isinstance(value, torch.Tensor) or value.dtype in NARROW:
        return False
    return value.is_floating_point() and any(_is_narrow(given) for given in node.all_input_nodes)


def _is_narrow(node: torch.fx.Node) -> bool:
    value = node.meta.get("val")
    return isinstance(value, torch.Tensor) and value.dtype in NARROW and _at_least(value, LEAST)


def _at_least(value: torch.Tensor, count: int) -> bool:
    sizes = [size for size in value.shape if isinstance(size, int)]
    return len(sizes) == value.dim() and bool(value.numel() >= count)


def multiply_as_stored(module: torch.fx.GraphModule) -> None:
    """Replace products by dequantised int8 weights of one scale a column by `_weight_int8pack_mm`."""
    changed = False
    for target, at in _PRODUCTS.items():
        for node in module.graph.find_nodes(op="call_function", target=target):
            changed |= _replace(module, node, at)
    if changed:
        module.graph.eliminate_dead_code()
        module.recompile()


def _replace(module: torch.fx.GraphModule, node: torch.fx.Node, at: int) -> bool:
    x, weight = node.args[at - 1], node.args[at]
    if not isinstance(x, torch.fx.Node) or not isinstance(weight, torch.fx.Node):
        return False
    # Only a sum of whole parts can be taken apart.
    if at == 2 and (node.kwargs.get("beta", 1) != 1 or node.kwargs.get("alpha", 1) != 1):
        return False
    if _is_dequantised(x):
        return False  # both sides are bytes, which Inductor has a pattern for
    value = x.meta.get("val")
    floats = (torch.float32, torch.bfloat16, torch.float16)
    if not isinstance(value, torch.Tensor) or value.dtype not in floats:
        return False
    stored = _stored(module, weight)
    if stored is None:
        return False
    columns, scales = stored
    names = []
    for tensor in (columns, scales.to(value.dtype)):
        name = f"_stored_{sum(key.startswith('_stored_') for key in module._buffers)}"
        module.register_buffer(name, tensor.contiguous())
        names.append(name)
    graph = module.graph
    with graph.inserting_before(node):
        given = []
        for name in names:
            constant = graph.get_attr(name)
            constant.meta["val"] = _fake(value, getattr(module, name))
            given.append(constant)
        made = graph.call_function(torch.ops.aten._weight_int8pack_mm.default, (x, *given))
        made.meta.update(node.meta)
        if at == 2:
            product = made
            made = graph.call_function(torch.ops.aten.add.Tensor, (product, node.args[0]))
            made.meta.update(node.meta)
    node.replace_all_uses_with(made)
    graph.erase_node(node)
    return True


def _is_dequantised(x: torch.fx.Node) -> bool:
    """Whether activations come out of PT2E's dequantisation, but for their shape."""
    node = x
    while node.op == "call_function" and node.all_input_nodes:
        if "dequantize" in str(node.target):
            return True
        if _short_name(node.target) not in ("view", "reshape", "expand", "permute", "clone", "convert_element_type"):
            return False
        node = node.all_input_nodes[0]
    return False


def _short_name(target: Any) -> str:
    """`aten.view.default` -> `view`."""
    return str(target).split(".")[-2] if "." in str(target) else str(target)


def _fake(like: torch.Tensor, tensor: torch.Tensor) -> torch.Tensor:
    mode = getattr(like, "fake_mode", None)
    return mode.from_tensor(tensor) if mode is not None else tensor


def _stored(module: torch.fx.GraphModule, weight: torch.fx.Node) -> tuple[torch.Tensor, torch.Tensor] | None:
    """The bytes [columns, depth] and the scale of each column that a node [depth, columns] is made of, or None."""
    nodes = _made_of_constants(weight)
    if nodes is None:
        return None
    # In the graph's order, so that each comes after what it follows from.
    values: dict[torch.fx.Node, Any] = {}
    for node in module.graph.nodes:
        if node not in nodes:
            continue
        if node.op == "get_attr":
            values[node] = _attribute(module, node.target)
        else:
            args, kwargs = torch.fx.map_arg((node.args, node.kwargs), lambda given: values[given])
            values[node] = node.target(*args, **kwargs)
    wanted = values[weight]
    narrow = [
        value
        for node, value in values.items()
        if node.op == "get_attr" and value.dtype == torch.int8 and value.numel() == wanted.numel() >= LEAST
    ]
    if len(narrow) != 1 or narrow[0].dim() != 2 or wanted.dim() != 2:
        return None
    (bytes_,) = narrow
    for columns in (bytes_, bytes_.t()):
        if columns.shape == wanted.t().shape:
            scales = _scales(columns, wanted.t())
            if scales is not None:
                return columns, scales
    return None


def _made_of_constants(node: torch.fx.Node) -> set[torch.fx.Node] | None:
    """A node and all that it follows from, when these are constants and not many."""
    found: set[torch.fx.Node] = set()
    waiting = [node]
    while waiting:
        one = waiting.pop()
        if one in found:
            continue
        found.add(one)
        if len(found) > _LONGEST or one.op not in ("get_attr", "call_function"):
            return None
        waiting += one.all_input_nodes
    return found


def _attribute(module: torch.nn.Module, name: Any) -> Any:
    value: Any = module
    for part in str(name).split("."):
        value = getattr(value, part)
    return value


def _scales(columns: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor | None:
    """Scales of the rows of `columns` that give `wanted`; None where there are none: by groups, or with zero points."""
    whole, exact = columns.double(), wanted.double()
    largest = whole.abs().argmax(dim=1, keepdim=True)
    at_largest = whole.gather(1, largest)
    scales = torch.where(at_largest == 0, 0.0, exact.gather(1, largest) / torch.where(at_largest == 0, 1.0, at_largest))
    # As the weight's dtype rounds.
    tolerance = {torch.float32: 1e-6, torch.float16: 2e-3, torch.bfloat16: 1.6e-2}.get(wanted.dtype)
    if tolerance is None or not bool(((whole * scales - exact).abs() <= tolerance * exact.abs()).all()):
        return None
    return scales.squeeze(1).float()
