"""The compiled package against eager PyTorch."""

from __future__ import annotations

import copy
import importlib.util
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
import torch._inductor
from torch.utils import _pytree as pytree

from .eager import state
from .eager.nesting import tensors
from .eager.running import Random, call_eager
from .eager.state import same_bytes
from .failure import WorkerError, essence
from .graph.signature import Signature, bounds
from .graph.symbols import Linear
from .subject import Subject

#: Calls in a row at the example's sizes: the first change of a state shows in the second call, a change that is lost
#: in the third.
CALLS = 3
#: At most so many other sizes are tried.
_MOST = 12
#: How far from a wanted size one is looked for that the guards allow.
_REACH = 512


def tolerances_of(closeness: str, layers: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Largest error of an output by its dtype.

    Args:
        closeness: the runner's closeness.py, which `aotrun check` goes by as well. It needs the standard library alone.
        layers: in which precisions they are computed, and how many in each.
    """
    spec = importlib.util.spec_from_file_location("aotpack_closeness", closeness)
    assert spec is not None  # noqa: S101  (it is a file of Python)
    assert spec.loader is not None  # noqa: S101
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    allowed: dict[str, float] = module.tolerances(layers)
    return allowed


class Verifier:
    """A package against eager PyTorch.

    Args:
        package: the .pt2.
        described: its signature.
        tolerances: dtype -> largest error allowed, see `tolerances_of`; others are exact.
        trying: told of the sizes that are run next, in case that the process does not survive it.
        random: what random numbers decide, which is not compared.
        values_decide: whether sizes follow from values: the example's values may then be wrong at other sizes.
    """

    def __init__(
        self,
        package: str,
        subject: Subject,
        described: Signature,
        tolerances: Mapping[str, float],
        trying: Callable[[str], None],
        *,
        random: Random = Random(),  # noqa: B008  (it never changes)
        values_decide: bool = False,
    ) -> None:
        self._package = package
        self._subject = subject
        self._described = described
        self._tolerances = tolerances
        self._trying = trying
        self._random = random
        self._values_decide = values_decide

    def compare(self, *, once: bool = False) -> list[dict[str, Any]]:
        """Compare several calls at the example's sizes, and one at each of some others that the signature allows.

        With `once`, compare one call at the example's sizes.

        Both keep their state from call to call. Returns one entry per output and size: sizes, name, largest absolute
        and relative error. Raises WorkerError on the first output that differs by more than its dtype allows.
        """
        try:
            with state.kept(self._subject.module):  # there may be another variant, which starts with it
                return self._compare(torch._inductor.aoti_load_package(self._package), once=once)
        except WorkerError as error:
            if not self._random.draws or error.kind == "usage":
                raise
            raise WorkerError(
                str(error),
                meaning="the module draws random numbers, and a seed or a generator of its own is in no graph; "
                "the package has not been kept",
                fix="leave torch.manual_seed and generators out of forward(), or let the numbers be an input",
            ) from error

    def _compare(self, model: Any, *, once: bool) -> list[dict[str, Any]]:
        args, kwargs = self._subject.args, self._subject.kwargs
        entries = self._call(model, args, kwargs)
        if once:
            return entries
        for _ in range(CALLS - 1):
            self._call(model, args, kwargs)
        for values in self._other_sizes():
            try:
                entries += self._call(model, *self._resized(values))
            except WorkerError as error:
                # Of the module itself, which may check `n.item() <= x.shape[0]`.
                if not (self._values_decide and error.kind == "usage"):
                    raise
        return entries

    def _call(self, model: Any, args: Any, kwargs: Any) -> list[dict[str, Any]]:
        described = self._described
        expected = call_eager(self._subject, args, kwargs)
        args, kwargs = copy.deepcopy((args, kwargs))
        given = tensors((args, kwargs))
        sizes = ", ".join(
            f"{spec['name']} {list(value.shape)}" for spec, value in zip(described.inputs, expected.inputs, strict=True)
        )
        self._trying(sizes)
        outputs = _run(model, args, kwargs, sizes)
        if len(outputs) != len(expected.outputs):
            raise _differs(f"{len(outputs)} outputs, eager PyTorch gives {len(expected.outputs)}", sizes)
        pairs = [
            (spec["name"], got, want)
            for place, (spec, got, want) in enumerate(zip(described.outputs, outputs, expected.outputs, strict=True))
            if place not in self._random.outputs
        ]
        for place, (spec, before, got, want) in enumerate(
            zip(described.inputs, expected.inputs, given, expected.inputs_after, strict=True)
        ):
            if place in self._random.inputs:
                continue
            if spec["mutated"]:
                pairs.append((f"{spec['name']} (written in place)", got, want))
            elif not same_bytes(before, got) or not same_bytes(before, want):
                raise _differs(f"input {spec['name']} is written in place, and torch.export did not notice", sizes)
        return [
            {"sizes": sizes, "name": name, **_errors(name, got, want, sizes, self._tolerances)}
            for name, got, want in pairs
        ]

    def _other_sizes(self) -> list[dict[Any, int]]:
        """Values of the symbols that the signature allows: the least, alone and together, and those near the example.

        Torch traces with sizes of two and more, and then claims all that was declared: 0 and 1 are where it errs.
        """
        found: list[dict[Any, int]] = []
        example = self._example()
        for values in self._wanted(example):
            if values != example and values not in found:
                found.append(values)
        return found[:_MOST]

    def _wanted(self, example: dict[Any, int]) -> Iterator[dict[Any, int]]:
        ranges = {symbol: bounds(self._described.ranges.get(symbol)) for symbol in example}
        least = {symbol: low for symbol, (low, _) in ranges.items()}
        if self._described.admits(least):
            yield least
        for symbol, (low, high) in ranges.items():
            for start, step in ((low, 1), (max(low, 1), 1), (example[symbol] + 1, 1), (example[symbol] - 1, -1)):
                for size in range(start, start + step * _REACH, step):
                    values = {**example, symbol: size}
                    if size < low or (high is not None and size > high):
                        break
                    if self._described.admits(values):
                        yield values
                        break

    def _example(self) -> dict[Any, int]:
        """What the example inputs say of each symbol."""
        values: dict[Any, int] = {}
        shapes = [tensor.shape for tensor in tensors((self._subject.args, self._subject.kwargs))]
        for shape, sizes in zip(shapes, self._described.input_sizes, strict=True):
            for have, size in zip(shape, sizes, strict=True):
                linear = Linear.of(size)
                if linear is not None:
                    values[linear.symbol] = (have - linear.offset) // linear.factor
        return values

    def _resized(self, values: Mapping[Any, int]) -> tuple[Any, Any]:
        """The example inputs at other sizes."""
        shapes = iter(self._described.shapes(values))
        args, kwargs = pytree.tree_map(
            lambda leaf: _resize(leaf, next(shapes)) if isinstance(leaf, torch.Tensor) else leaf,
            (self._subject.args, self._subject.kwargs),
        )
        return args, kwargs


def distances(package: str, subject: Subject, described: Signature, other: Subject, name: str) -> list[dict[str, Any]]:
    """How far a package's outputs at the example's sizes are from those of another module of the same inputs.

    Nothing is too far; dtypes may differ. Raises WorkerError where inputs or outputs do not fit each other.
    """
    mine, theirs = tensors((subject.args, subject.kwargs)), tensors((other.args, other.kwargs))
    if [x.shape for x in mine] != [x.shape for x in theirs]:
        raise _no_counterpart(name, f"inputs of {_shapes(theirs)}", _shapes(mine))
    as_theirs = iter([x.to(like.dtype) if x.is_floating_point() else x for x, like in zip(mine, theirs, strict=True)])
    args, kwargs = pytree.tree_map(
        lambda leaf: next(as_theirs) if isinstance(leaf, torch.Tensor) else leaf, (other.args, other.kwargs)
    )
    expected = call_eager(other, args, kwargs).outputs
    given = copy.deepcopy((subject.args, subject.kwargs))
    sizes = _shapes(mine)
    outputs = _run(torch._inductor.aoti_load_package(package), *given, sizes)
    if [x.shape for x in outputs] != [x.shape for x in expected]:
        raise _no_counterpart(name, f"outputs of {_shapes(expected)}", _shapes(outputs))
    entries = []
    for spec, got, want in zip(described.outputs, outputs, expected, strict=True):
        error = (got.double() - want.double()).abs()
        magnitude = want.double().abs()
        relative = (
            error / (magnitude + magnitude.max()).clamp_min(torch.finfo(torch.float64).tiny) if error.numel() else error
        )
        absolute, relative = (float(x.max()) if x.numel() else 0.0 for x in (error, relative))
        entries.append({"sizes": f"against {name}", "name": spec["name"], "absolute": absolute, "relative": relative})
    return entries


def _shapes(values: list[torch.Tensor]) -> str:
    return ", ".join(str(list(value.shape)) for value in values) or "nothing"


def _no_counterpart(name: str, theirs: str, ours: str) -> WorkerError:
    return WorkerError(
        f"--against {name}: {theirs} where the exported module has {ours}",
        meaning="the package was compiled, but cannot be compared with that module; it has not been kept",
        fix="name a function that returns the same model with the same example inputs",
        kind="usage",
    )


def _run(model: Any, args: Any, kwargs: Any, sizes: str) -> list[torch.Tensor]:
    torch.manual_seed(0)
    try:
        with torch.no_grad():
            return tensors(model(*args, **kwargs))
    except Exception as error:
        raise WorkerError(
            f"the package fails at {sizes}, where eager PyTorch gives a result: {essence(error)}",
            meaning="the package does not serve all sizes that it claims; it has not been kept",
            fix="narrow the range of its sizes in dynamic_shapes; -v shows what torch says",
        ) from error


def _errors(
    name: str, got: torch.Tensor, want: torch.Tensor, sizes: str, tolerances: Mapping[str, float]
) -> dict[str, float]:
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
    tolerance = tolerances[str(want.dtype).removeprefix("torch.")]
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
        meaning="the package would give wrong results; it has not been kept",
        fix="try --constants updatable, and report it to PyTorch; without --verify, the package is made",
    )


def _resize(tensor: torch.Tensor, sizes: list[int]) -> torch.Tensor:
    """Repeat or cut along each dim, so that values stay in the range the model knows (indices, masks)."""
    for dim, size in enumerate(sizes):
        if tensor.shape[dim] == 0 and size > 0:
            tensor = tensor.new_zeros([*tensor.shape[:dim], size, *tensor.shape[dim + 1 :]])
        elif size != tensor.shape[dim]:
            rows = torch.arange(size, device=tensor.device) % tensor.shape[dim]
            signed = _SIGNED.get(tensor.dtype)
            if signed is None:
                tensor = tensor.index_select(dim, rows)
            else:
                tensor = tensor.view(signed).index_select(dim, rows).view(tensor.dtype)
    return tensor


#: Types of the same width for those that torch has few ops for.
_SIGNED = {torch.uint16: torch.int16, torch.uint32: torch.int32, torch.uint64: torch.int64}
