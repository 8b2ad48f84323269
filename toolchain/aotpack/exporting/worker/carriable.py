"""What a bundle's inputs and outputs can be."""

from __future__ import annotations

from typing import Any

import torch

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
    if dtype in DTYPES and tensor.layout == torch.strided:
        return dtype
    layout = "" if tensor.layout == torch.strided else f"{str(tensor.layout).removeprefix('torch.')} "
    raise WorkerError(
        f"{role} {name} is a {layout}tensor of {dtype}",
        meaning=f"a bundle takes and returns dense tensors of {', '.join(DTYPES)}",
        fix="convert it inside the module, for example with .to(torch.float32) or .to_dense()",
        kind="usage",
    )


def check_inputs(names: list[str], leaves: list[Any]) -> None:
    """Raise WorkerError unless every input is a dense tensor, or a plain value that can be fixed in the package."""
    for name, leaf in zip(names, leaves, strict=True):
        if isinstance(leaf, torch.Tensor):
            dtype_name("input", name, leaf)
        elif not (leaf is None or isinstance(leaf, (bool, int, float, str))):
            raise WorkerError(
                f"input {name} is a {type(leaf).__name__}",
                meaning="inputs are tensors, in tuples, lists, dicts or types registered with torch.utils._pytree",
                fix="make it a tensor in the example inputs, for example with torch.as_tensor()",
                kind="usage",
            )
