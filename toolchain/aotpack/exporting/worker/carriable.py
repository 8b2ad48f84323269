"""What a bundle's inputs and outputs can be."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensor
from torch.utils._python_dispatch import is_traceable_wrapper_subclass

from . import naming
from .failure import WorkerError

#: aotpack.package.metadata.DTYPES, which is out of reach here.
DTYPES = (
    *("bool", "uint8", "int8", "int16", "int32", "int64", "uint16", "uint32", "uint64"),
    *("float16", "bfloat16", "float32", "float64", "complex64", "complex128"),
)


def dtype_name(role: str, name: str, tensor: Any) -> str:
    """The dtype of a dense tensor, such as `float32`. Raises WorkerError for tensors that the bridge cannot carry.

    Args:
        role: `input` or `output`.
        name: its name in the signature.
        tensor: real or fake.
    """
    dtype = str(tensor.dtype).removeprefix("torch.")
    layout = "nested" if tensor.is_nested else str(tensor.layout).removeprefix("torch.")
    if dtype in DTYPES and layout == "strided":
        return dtype
    layout = "" if layout == "strided" else f"{layout} "
    raise WorkerError(
        f"{role} {name} is a {layout}tensor of {dtype}",
        meaning=f"a bundle takes and returns dense tensors of {', '.join(DTYPES)}",
        fix="convert it inside the module, for example with .to(torch.float32) or .to_dense()",
        kind="usage",
    )


def check_inputs(names: list[str], leaves: list[Any], unwritable: Any = None) -> None:
    """Raise WorkerError unless every input is a dense tensor, or a plain value that can be fixed in the package.

    Args:
        unwritable: a container among them that torch cannot write down; None where there is none.
    """
    if unwritable is not None:
        kind = type(unwritable).__name__
        raise WorkerError(
            f"an input is a {kind}, which is registered with torch.utils._pytree without names of its parts or its own",
            meaning="torch.export writes down how inputs nest, and has no words for it",
            fix=f"give the tensors of the {kind} in a tuple or a dict, or register it with flatten_with_keys_fn and "
            "serialized_type_name",
            kind="usage",
        )
    for name, leaf in zip(names, leaves, strict=True):
        if isinstance(leaf, torch.Tensor):
            dtype_name("input", name, leaf)
            _refuse_without_values(name, leaf)
            if is_traceable_wrapper_subclass(leaf):
                raise WorkerError(
                    f"input {name} is a {type(leaf).__name__}, which is made of other tensors",
                    meaning="a bundle takes plain arrays",
                    fix="give the tensors that it is made of, and make it within the module",
                    kind="usage",
                )
        elif not (leaf is None or isinstance(leaf, (bool, int, float, str))):
            raise WorkerError(
                f"input {name} is {naming.a(leaf)}",
                meaning="inputs are tensors, in tuples, lists, dicts or types registered with torch.utils._pytree",
                fix=_instead(leaf),
                kind="usage",
            )


def _instead(value: Any) -> str:
    """What to give in the place of an input that is neither a tensor nor plain."""
    kind = type(value).__name__
    if dataclasses.is_dataclass(value):
        return f'torch.utils._pytree.register_dataclass({kind}, serialized_type_name="{kind}")'
    if isinstance(value, Mapping):
        return f"give dict(...) of the {kind}"
    return "make it a tensor in the example inputs (torch.as_tensor()), or fix it within the module"


def _refuse_without_values(name: str, tensor: Any) -> None:
    """Raise WorkerError for an example that the module cannot be run on."""
    if tensor.device.type == "meta" or isinstance(tensor, FakeTensor):
        raise WorkerError(
            f"input {name} has no values: it is a {'FakeTensor' if isinstance(tensor, FakeTensor) else 'meta tensor'}",
            meaning="the module is run on the example inputs, and the package is compared with what it gives",
            fix=f"give real numbers, for example torch.zeros({list(tensor.shape)}, dtype={tensor.dtype})",
            kind="usage",
        )
