"""Sizes of 0 and 1, which torch.export takes for larger ones.

What it asks itself of a size that may vary it answers as for two or more, and writes down no guard that only 0 or 1
would break (pytorch 2.13). `x[:1]` is then of one row whatever x has, and code for it reads a row where there is none.
So the graph is run at these sizes without values, and they are left out where its tensors have other sizes than said,
and where a kernel of libtorch's ends the process.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils import _pytree as pytree
from torch.utils._sympy.value_ranges import ValueRanges

from .symbols import Linear, is_number, valued


class _WrongError(Exception):
    """Why the graph is not right for some sizes."""


#: Attention, which generated code calls by one name of these or another.
_ATTENTION = ("scaled_dot_product_attention", "_scaled_dot_product_flash_attention_for_cpu")


class _Sizes:
    """Sizes where their symbols have some values; None where these do not tell it."""

    def __init__(self, values: Mapping[Any, int]) -> None:
        self._values = values
        self._known: dict[Any, int | None] = {}

    def __call__(self, sizes: Sequence[Any]) -> list[int | None]:
        return [self._at(size if isinstance(size, int) else size.node.expr) for size in sizes]

    def _at(self, size: Any) -> int | None:
        if size not in self._known:  # sympy takes its time, and a graph has few different ones
            told = is_number(size) or size.free_symbols <= set(self._values)
            self._known[size] = valued(size, self._values) if told else None
        return self._known[size]


def leave_out(program: Any, demands: Sequence[Any], note: Callable[[str], None]) -> None:
    """Let the ranges of a program begin behind the sizes of 0 and 1 that it is wrong for; `note` is told.

    Args:
        program: of torch.export.
        demands: what its sizes must satisfy besides, as `guards.demands` gives it.
        note: takes a sentence.
    """
    examples = _examples(program)
    for symbol, place, known in [(symbol, *found) for symbol, found in examples.items()]:
        bound = program.range_constraints.get(symbol)
        for size in (1, 0):
            if bound is None or known < size or not bound.lower <= size < bound.upper:
                continue
            values = _values(symbol, size, {other: value for other, (_, value) in examples.items()}, program, demands)
            why = None if values is None else _wrong(program, values)
            if why:
                program.range_constraints[symbol] = ValueRanges(size + 1, bound.upper)
                below = ", nor is 0 below it" if bound.lower < size else ""
                note(f"a size of {size} of {place} is not served{below}, though dynamic_shapes has it: {why}")
                break


def _examples(program: Any) -> dict[Any, tuple[str, int]]:
    """The symbols that the sizes of inputs tell: where, and what the example had."""
    found: dict[Any, tuple[str, int]] = {}
    for node in program.graph.nodes:
        value = node.meta.get("val") if node.op == "placeholder" else None
        for dim, size in enumerate(value.shape if isinstance(value, torch.Tensor) else ()):
            linear = None if isinstance(size, int) else Linear.of(size.node.expr)
            if linear is not None and size.node.has_hint():
                example = (int(size.node.hint) - linear.offset) // linear.factor
                found.setdefault(linear.symbol, (f"{node.name}.shape[{dim}]", example))
    return found


def _values(
    symbol: Any, size: int, examples: Mapping[Any, int], program: Any, demands: Sequence[Any]
) -> dict[Any, int] | None:
    """Values of all symbols with this one, as near to the example's as the demands allow; None where none is found."""
    ranges = program.range_constraints
    least = {each: max(size, int(ranges[each].lower)) if each in ranges else value for each, value in examples.items()}
    for others in (examples, least):
        values = {**others, symbol: size}
        try:
            if all(expr.subs(values) != False for expr in demands):  # noqa: E712  (sympy's, which is no bool)
                return values
        except ZeroDivisionError:
            continue
    return None


def _wrong(program: Any, values: Mapping[Any, int]) -> str | None:
    """Why the graph is wrong where its symbols have these values; None where it is right, or cannot be told."""
    sizes = _Sizes(values)
    try:
        with FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad():
            inputs = [_empty(node.meta.get("val"), sizes) for node in program.graph.nodes if node.op == "placeholder"]
            _Compared(program.graph_module, sizes).run(*inputs)
    except _WrongError as error:
        return str(error)
    except IndexError as error:  # `x[0]` of no rows
        return str(error).splitlines()[0]
    except Exception:  # noqa: BLE001  (such as sizes that follow from values; torch raises what it likes)
        return None
    return None


class _Compared(torch.fx.Interpreter):  # type: ignore[misc]  # torch is not where mypy runs
    """Runs a graph whose tensors must have the sizes that it says."""

    def __init__(self, module: Any, sizes: _Sizes) -> None:
        super().__init__(module)
        self.extra_traceback = False
        self._sizes = sizes

    def run_node(self, n: Any) -> Any:
        if n.op == "call_function":
            _refuse_what_ends_the_process(n.target, self.fetch_args_kwargs_from_env(n)[0])
        said = n.meta.get("val")
        try:
            result = super().run_node(n)
        except IndexError:
            raise
        except Exception:
            if said is None:
                raise
            # It needs values, or the parts of a weight: then it is taken at its word.
            return pytree.tree_map(lambda value: _empty(value, self._sizes), said)
        for now, then in zip(pytree.tree_leaves(result), pytree.tree_leaves(said), strict=False):
            if isinstance(now, torch.Tensor) and isinstance(then, torch.Tensor):
                wanted = self._sizes(then.shape)
                if any(w is not None and w != size for w, size in zip(wanted, now.shape, strict=False)):
                    raise _WrongError(f"torch.export takes {list(now.shape)} for {wanted} in {n.target}")
        return result


def _refuse_what_ends_the_process(target: Any, given: Sequence[Any]) -> None:
    """Raise for what kernels of libtorch's for the CPU divide by nothing for (pytorch 2.13)."""
    name, _, overload = str(getattr(target, "__name__", "")).partition(".")
    if name in _ATTENTION:
        query, key = given[:2]
        if query.device.type == "cpu" and 0 in (*query.shape[-3:-1], *key.shape[-3:-1]):
            raise _WrongError("attention over no tokens ends the process in libtorch")
    elif (name, overload) == ("lstm", "input"):
        state = given[1][0]
        if state.device.type == "cpu" and state.shape[1] == 0:
            raise _WrongError("an LSTM over no rows ends the process in libtorch")


def _empty(value: Any, sizes: _Sizes) -> Any:
    """A tensor without values for one whose sizes have symbols; what is no tensor as it is."""
    if not isinstance(value, torch.Tensor):
        return sizes([value])[0] if isinstance(value, torch.SymInt) else value
    return torch.empty_strided(sizes(value.shape), sizes(value.stride()), dtype=value.dtype, device=value.device)
