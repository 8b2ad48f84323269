"""The compiled package against eager PyTorch."""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
import torch._inductor
from torch.utils import _pytree as pytree

from .failure import WorkerError
from .running import Run, run_eager, tensors
from .signature import Signature, bounds
from .source import Subject

#: Largest error allowed, relative to |expected| plus the output's largest magnitude. Integers and bools must be equal.
TOLERANCES: dict[torch.dtype, float] = {
    torch.float64: 1e-7,
    torch.complex128: 1e-7,
    torch.float32: 1e-4,
    torch.complex64: 1e-4,
    torch.float16: 5e-3,
    torch.bfloat16: 4e-2,
}


def verify(package: str, subject: Subject, described: Signature, expected: Run) -> list[dict[str, Any]]:
    """Compare at the example's sizes and, with dynamic dims, at other ones too.

    Returns one entry per output and run: sizes, name, largest absolute and relative error. Raises WorkerError on the
    first output that differs by more than its dtype allows.
    """
    model = torch._inductor.aoti_load_package(package)
    entries = _compare(model, subject.args, subject.kwargs, described, expected)
    other = _other_sizes(subject, described)
    if other is not None:
        args, kwargs = other
        expected = run_eager(subject, args, kwargs)
        entries += _compare(model, args, kwargs, described, expected)
    return entries


def _compare(model: Any, args: Any, kwargs: Any, described: Signature, expected: Run) -> list[dict[str, Any]]:
    args, kwargs = copy.deepcopy((args, kwargs))
    torch.manual_seed(0)
    with torch.no_grad():
        outputs = tensors(model(*args, **kwargs))
    sizes = ", ".join(
        f"{spec['name']} {list(value.shape)}" for spec, value in zip(described.inputs, expected.inputs, strict=True)
    )
    if len(outputs) != len(expected.outputs):
        raise _differs(f"{len(outputs)} outputs, eager PyTorch gives {len(expected.outputs)}", sizes)
    pairs = [
        (spec["name"], got, want) for spec, got, want in zip(described.outputs, outputs, expected.outputs, strict=True)
    ]
    for spec, before, got, want in zip(
        described.inputs, expected.inputs, tensors((args, kwargs)), expected.inputs_after, strict=True
    ):
        if spec["mutated"]:
            pairs.append((f"{spec['name']} (written in place)", got, want))
        elif not _same_bytes(before, got) or not _same_bytes(before, want):
            raise _differs(f"input {spec['name']} is written in place, and torch.export did not notice", sizes)
    return [{"sizes": sizes, "name": name, **_errors(name, got, want, sizes)} for name, got, want in pairs]


def _same_bytes(left: torch.Tensor, right: torch.Tensor) -> bool:
    """Equal elements, where a NaN equals itself."""
    left, right = left.contiguous().reshape(-1), right.contiguous().reshape(-1)
    return bool(torch.equal(left.view(torch.uint8), right.view(torch.uint8)))


def _errors(name: str, got: torch.Tensor, want: torch.Tensor, sizes: str) -> dict[str, float]:
    if got.shape != want.shape or got.dtype != want.dtype:
        raise _differs(
            f"output {name} is {got.dtype} {list(got.shape)}, eager PyTorch gives {want.dtype} {list(want.shape)}",
            sizes,
        )
    if not (want.is_floating_point() or want.is_complex()):
        unequal = int((got != want).sum())
        if unequal:
            raise _differs(f"output {name}: {unequal} of {want.numel()} elements differ", sizes)
        return {"absolute": 0.0, "relative": 0.0}
    tolerance = TOLERANCES[want.dtype]
    wide = torch.complex128 if want.is_complex() else torch.float64
    got, want = got.to(wide).cpu(), want.to(wide).cpu()
    if not torch.equal(got.isnan(), want.isnan()):
        raise _differs(f"output {name}: NaN at other places than in eager PyTorch", sizes)
    special = want.isnan() | want.isinf() | got.isinf()
    if not torch.equal(got[special].nan_to_num(0, 1, -1), want[special].nan_to_num(0, 1, -1)):
        raise _differs(f"output {name}: infinities at other places than in eager PyTorch", sizes)
    got, want = got[~special], want[~special]
    if want.numel() == 0:
        return {"absolute": 0.0, "relative": 0.0}
    error, magnitude = (got - want).abs(), want.abs()
    absolute = float(error.max())
    relative = float((error / (magnitude + magnitude.max()).clamp_min(torch.finfo(torch.float64).tiny)).max())
    if not math.isfinite(relative) or relative > tolerance:
        raise _differs(
            f"output {name}: largest error {absolute:.3g} absolute, {relative:.3g} relative (allowed {tolerance:g})",
            sizes,
        )
    return {"absolute": absolute, "relative": relative}


def _differs(what: str, sizes: str) -> WorkerError:
    return WorkerError(
        f"the package disagrees with eager PyTorch at {sizes}: {what}",
        meaning="the package would give wrong results (or the module is random); it has not been kept",
        fix="make the module deterministic; if it is, try another --cpu-isa or --profile, and report it to PyTorch",
    )


def _other_sizes(subject: Subject, described: Signature) -> tuple[Any, Any] | None:
    """The example inputs at other sizes of their dynamic dims; None when no dim is dynamic."""
    examples = tensors((subject.args, subject.kwargs))
    now: dict[Any, int] = {}
    for tensor, sizes in zip(examples, described.input_sizes, strict=True):
        for have, size in zip(tensor.shape, sizes, strict=True):
            if getattr(size, "is_Symbol", False):
                now[size] = have
    other = {symbol: _another(have, *bounds(described.ranges.get(symbol))) for symbol, have in now.items()}
    if other == now:
        return None
    resized = iter(
        [
            _resize(tensor, [int(size if isinstance(size, int) else size.subs(other)) for size in sizes])
            for tensor, sizes in zip(examples, described.input_sizes, strict=True)
        ]
    )
    args, kwargs = pytree.tree_map(
        lambda leaf: next(resized) if isinstance(leaf, torch.Tensor) else leaf, (subject.args, subject.kwargs)
    )
    return args, kwargs


def _another(have: int, low: int, high: int | None) -> int:
    if high is None or have < high:
        return have + 1
    return have - 1 if have - 1 >= max(low, 1) else have


def _resize(tensor: torch.Tensor, sizes: list[int]) -> torch.Tensor:
    """Repeat or cut along each dim, so that values stay in the range the model knows (indices, masks)."""
    for dim, size in enumerate(sizes):
        if size != tensor.shape[dim]:
            tensor = tensor.index_select(dim, torch.arange(size, device=tensor.device) % tensor.shape[dim])
    return tensor
