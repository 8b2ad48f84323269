"""Conjugations and negations, which eager PyTorch leaves to whoever reads the tensor: a bit of it says so.

AOTInductor calls libtorch's own op for a conjugation, by its name and through the proxy executor, and every reader
after it must know of the bit. Here they are computed where they stand, from ops that both runtimes serve.
"""

from __future__ import annotations

from typing import Any

import torch
from torch._inductor import decomposition

_aten = torch.ops.aten


def patch_to_compute_at_once() -> None:
    """Let what is compiled from now on in this process hold numbers as they are to be read."""
    decomposition.decompositions.update({_aten._conj.default: _conjugated, _aten._neg_view.default: _aten.neg.default})


def _conjugated(tensor: Any) -> Any:
    if not tensor.is_complex():
        return tensor
    parts = torch.view_as_real(tensor)
    return torch.view_as_complex(torch.stack([parts.select(-1, 0), -parts.select(-1, 1)], -1))
