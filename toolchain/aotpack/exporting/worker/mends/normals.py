"""Random numbers around given means: `torch.normal(mean, std)`.

Inductor takes them apart into an op that Python alone has (pytorch 2.13). They are standard ones, stretched and moved.
"""

from __future__ import annotations

from typing import Any

import torch
from torch._inductor import decomposition

_aten = torch.ops.aten


def patch_to_be_stretched() -> None:
    """In graphs that are compiled from now on in this process."""
    given = (_aten.normal.Tensor_float, _aten.normal.float_Tensor, _aten.normal.Tensor_Tensor)
    taken_apart = {**dict.fromkeys(given, _around), _aten.normal.float_float: _of_size}
    taken_apart[_aten.normal_functional.default] = _like
    for name in ("decompositions", "extra_random_decomps"):
        getattr(decomposition, name, {}).update(taken_apart)


def _around(mean: Any, std: Any = 1.0, *, generator: Any = None) -> Any:
    size = torch.broadcast_shapes(*(each.shape for each in (mean, std) if isinstance(each, torch.Tensor)))
    like = mean if isinstance(mean, torch.Tensor) else std
    return torch.randn(size, dtype=like.dtype, device=like.device) * std + mean


def _of_size(mean: float, std: float, size: Any, *, generator: Any = None, **options: Any) -> Any:
    return torch.randn(size, **options) * std + mean


def _like(tensor: Any, mean: float = 0.0, std: float = 1.0, *, generator: Any = None) -> Any:
    return torch.randn_like(tensor) * std + mean
