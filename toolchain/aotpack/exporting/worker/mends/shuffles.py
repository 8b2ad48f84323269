"""Shuffled rows: `x[torch.randperm(len(x))]`.

Inductor has a shortcut for an index that is a permutation, and breaks off where nothing is cut from that: "Not all
inputs to pattern found" (pytorch 2.13). On the CPU it saves a check of the index, no more.
"""

from __future__ import annotations

from typing import Any

from torch._inductor.fx_passes import misc_patterns

_NAME = "_misc_patterns_init"


def patch_to_take_no_shortcut() -> None:
    """For graphs that are compiled from now on in this process, unless it has compiled one before."""
    if hasattr(misc_patterns, _NAME):
        setattr(misc_patterns, _NAME, _nothing)


def _nothing(*_args: Any, **_kwargs: Any) -> None:
    return None
