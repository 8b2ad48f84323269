"""Max pooling over one dim, as that over two.

torch checks the sizes of the former as numbers, and so fixes a length that is to vary (pytorch 2.13).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import torch

_op = torch.ops.aten.max_pool1d.default
_KEY = torch._C.DispatchKey.CompositeImplicitAutograd


@contextlib.contextmanager
def lengths_vary() -> Iterator[None]:
    """What is traced or decomposed within may vary in the length that it pools over."""
    if _KEY in _op.py_kernels:  # a torch that has a way of its own
        yield
        return
    _op.py_impl(_KEY)(_pool)
    try:
        yield
    finally:
        del _op.py_kernels[_KEY]
        _op._dispatch_cache.clear()


def _pool(
    x: Any,
    kernel_size: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0,),
    dilation: Sequence[int] = (1,),
    ceil_mode: bool = False,
) -> Any:
    steps = stride or kernel_size
    rows = torch.ops.aten.max_pool2d(
        x.unsqueeze(-2), [1, *kernel_size], [1, *steps], [0, *padding], [1, *dilation], ceil_mode
    )
    return rows.squeeze(-2)
