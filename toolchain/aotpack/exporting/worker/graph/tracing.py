"""torch.export: the graph, with the sizes that may vary."""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable
from typing import Any

import torch
from torch._dynamo.exc import UserErrorType
from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException
from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode
from torch.utils import _pytree as pytree

from .. import naming
from ..eager import nesting, state
from ..eager.running import Run, TensorsOnly, is_told
from ..failure import WorkerError, chain, essence, own_line
from ..subject import Subject
from . import declared, hinted
from .symbols import asked_of_inputs, dim_of

#: What torch raises where a value would have to be known.
_OF_VALUES = (GuardOnDataDependentSymNode, DataDependentOutputException, DynamicOutputShapeException)
_DOCUMENTATION = "https://docs.pytorch.org/docs/stable/export.html"


def export_program(subject: Subject, run: Run, *, allow_fixed: bool, note: Callable[[str], None]) -> Any:
    """The graph of what `run` ran.

    With `allow_fixed`, sizes that cannot vary as asked vary as torch suggests (each suggestion may lead to another), as
    torch finds them, or not at all; `note` is told, and `subject` says what they are in the end. Raises WorkerError.
    """
    module = subject.module
    spread = None if subject.dynamic_shapes is None else declared.spread(module, subject.kwargs)
    if run.others or not run.nests_plainly or spread is not None:
        # AOTInductor returns null handles for what is no tensor.
        module = TensorsOnly(module, spread)
        for path, value in run.others:
            if value is not None and run.outputs:
                what = f"= {value!r} is not" if is_told(value) else f"is {naming.a(value)}, not"
                note(f"output {naming.output_names([path])[0]} {what} a tensor: it is left out")
    told = ""
    for ease in (_as_suggested, _hints_found_by_torch, _as_suggested, _found_by_torch, _fixed):
        try:
            return _export(module, subject, subject.dynamic_shapes)
        except Exception as error:
            traceback.print_exc()
            if subject.dynamic_shapes is None:
                raise _untraceable(error, subject) from error
            program, hints = _by_hints(module, subject)
            # Where torch knows what would do, the user has the choice.
            if program is not None and (allow_fixed or not suggestions(error)):
                return program
            if not allow_fixed:
                raise _refusal(error, module, subject, hints if program is not None else "") from error
            why = "; ".join(suggestions(error)) or essence(error)
            if why != told:
                note(f"the sizes cannot vary as asked, which is accepted: {why}")
            told = why
            subject.dynamic_shapes = ease(error, subject.dynamic_shapes)
    return _export(module, subject, None)


def _export(module: Any, subject: Subject, dynamic_shapes: Any) -> Any:
    # Tracing is a call, too, and leaves tensors without values in what the module remembers.
    with state.attributes_kept(subject.module), torch.no_grad():
        return torch.export.export(module, subject.args, subject.kwargs, dynamic_shapes=dynamic_shapes, strict=False)


def _by_hints(module: Any, subject: Subject) -> tuple[Any, str]:
    """A program that serves all sizes that are declared by names, though torch did not see that, and how hints say so.

    None where there is none.
    """
    hinted_shapes = hinted.as_hints(subject.dynamic_shapes)
    if hinted_shapes is None:
        return None, ""
    try:
        program = _export(module, subject, hinted_shapes)
        served = hinted.serves(program, subject)
    except Exception:  # noqa: BLE001  (torch raises what it likes; the user is told of the first error)
        return None, ""
    return (program, hinted.text(subject.dynamic_shapes)) if served else (None, "")


def _untraceable(error: Exception, subject: Subject) -> WorkerError:
    where = own_line(error, subject.path)
    stops = f"it stops {where}" if where else "it stops"
    if any(isinstance(each, _OF_VALUES) for each in chain(error)):
        return WorkerError(
            "the module's course depends on values that only a run knows, and torch.export cannot follow it",
            meaning=f"a package does the same for all inputs; {stops}",
            fix="torch.where or torch.cond in place of an if, torch._check for what is known of a size "
            f"({_DOCUMENTATION}); -v shows torch's full message",
        )
    return WorkerError(
        "torch.export cannot trace the module",
        meaning=f"{stops}, and says: {essence(error)}",
        fix=f"change the module there ({_DOCUMENTATION}); -v shows torch's full message",
    )


def _refusal(error: Exception, module: Any, subject: Subject, hints: str) -> WorkerError:
    """The sizes cannot vary as asked; or the module cannot be traced whatever the sizes are.

    Args:
        hints: what serves all of them nevertheless; may be empty.
    """
    fixes = suggestions(error)
    if not fixes:
        try:
            _export(module, subject, None)
        except Exception as fixed:  # noqa: BLE001  (torch and the module raise what they like; all of it is told)
            return _untraceable(fixed, subject)
    if not fixes and getattr(error, "error_type", None) == UserErrorType.INVALID_INPUT:
        return WorkerError(
            "dynamic_shapes is not as torch.export takes it",
            meaning=_in_users_terms(essence(error)),
            fix=f"give one entry for each parameter of forward(), each as {_DOCUMENTATION} says",
            kind="usage",
        )
    small = _small_examples(subject)
    if small and ("0/1 specialized" in str(error) or any(re.search(r"= [01]$", fix) for fix in fixes)):
        return WorkerError(
            f"the sizes cannot vary as asked: the example of {small[0]}",
            meaning="torch.export takes a size of 0 or 1 of an example for one that never varies",
            fix="give an example of two or more there; the package takes smaller ones too, where dynamic_shapes "
            "does and the module can",
            kind="model",
        )
    # Not the names that torch makes up for what the others are multiples of.
    demands = [fix for fix in fixes if "Dim(" not in fix] or fixes
    demanded = f": torch.export demands {', '.join(demands)}" if fixes else ""
    advice = f"write that in dynamic_shapes ({'; '.join(fixes)})" if fixes else "leave the dim out of dynamic_shapes"
    if hints:
        advice += f", or for all of these sizes {hints}"
    return WorkerError(
        f"the sizes cannot vary as asked{demanded}",
        meaning=_reason(error),
        fix=f"{advice}, or accept it with --allow-fixed",
        kind="model",
    )


def _small_examples(subject: Subject) -> list[str]:
    """Sizes of examples that are to vary and are 0 or 1: `x has size 1 at dim 0`."""
    flat = nesting.leaves((subject.args, subject.kwargs))
    names = naming.input_names(subject.module.forward, [path for path, _ in flat])
    return [
        f"{name} has size {size} at dim {dim}"
        for name, (_, leaf), asked in zip(names, flat, asked_of_inputs(subject.dynamic_shapes, subject), strict=True)
        if isinstance(leaf, torch.Tensor)
        for dim, size in enumerate(leaf.shape)
        if size < 2 and not isinstance(dim_of(asked, dim), (int, type(None)))
    ]


def suggestions(error: BaseException) -> list[str]:
    """What torch suggests, in the user's terms: `h = 2*_h`, `frames = 16`, `x.shape[1] = 16`."""
    message = str(error)
    _, found, rest = message.partition("Suggested fixes:\n")
    if found:
        lines = rest.split("\n\n")[0].splitlines()
        return [_in_users_terms(line.strip()) for line in lines if " = " in line]
    constants = re.findall(
        r"You marked (\S+) as dynamic but your code specialized it to be a constant \((\d+)\)", message
    )
    return [f"{_in_users_terms(place)} = {size}" for place, size in constants]


def _reason(error: BaseException) -> str:
    """Why: the first of torch's reasons."""
    for line in str(error).splitlines():
        if line.startswith("  - "):
            return _in_users_terms(re.split(r"\.\s", line[4:])[0].rstrip("."))
    return f"torch.export says: {_in_users_terms(essence(error))}"


def _in_users_terms(text: str) -> str:
    """`L['batch']['ids'].size()[0]` is `batch.ids.shape[0]` to the user."""
    text = re.sub(r"L((?:\[(?:'\w+'|\d+)\])+)", lambda match: ".".join(re.findall(r"\w+", match[1])), text)
    return re.sub(r"\.size\(\)\[(\d+)\]", r".shape[\1]", text)


def _as_suggested(error: BaseException, dynamic_shapes: Any) -> Any:
    """Named dims as torch suggests: constants, other ranges, multiples of others."""
    named = {leaf.__name__: leaf for leaf in _leaves(dynamic_shapes) if isinstance(leaf, torch.export.Dim)}
    found: dict[str, Any] = {}
    for line in suggestions(error):
        if match := re.fullmatch(r"(\w+) = Dim\('\w+'(?:, min=(\d+))?(?:, max=(\d+))?\)", line):
            low, high = (None if bound is None else int(bound) for bound in match.group(2, 3))
            found[match[1]] = torch.export.Dim(match[1], min=low, max=high)
        elif match := re.fullmatch(r"(\w+) = (\d+)", line):
            found[match[1]] = int(match[2])
        elif match := re.fullmatch(r"(\w+) = (?:(\d+)\*)?(\w+)(?: ([+-]) (\d+))?", line):
            root = found.get(match[3], named.get(match[3]))
            if isinstance(root, torch.export.Dim):
                multiple = int(match[2]) * root if match[2] else root
                offset = int(match[5]) if match[5] else 0
                found[match[1]] = multiple + offset if match[4] == "+" else multiple - offset if offset else multiple
    return _mapped(dynamic_shapes, lambda leaf: found.get(getattr(leaf, "__name__", ""), leaf))


def _hints_found_by_torch(_error: BaseException, dynamic_shapes: Any) -> Any:
    """What had no name but had to vary (`Dim.DYNAMIC`) may, where torch finds that it can."""
    hint = torch.export.dynamic_shapes._DimHint
    return _mapped(dynamic_shapes, lambda leaf: torch.export.Dim.AUTO if isinstance(leaf, hint) else leaf)


def _found_by_torch(_error: BaseException, dynamic_shapes: Any) -> Any:
    """The same of all sizes that were to vary."""
    return _mapped(
        dynamic_shapes, lambda leaf: leaf if leaf is None or isinstance(leaf, int) else torch.export.Dim.AUTO
    )


def _fixed(_error: BaseException, _dynamic_shapes: Any) -> None:
    return None


def _is_leaf(value: Any) -> bool:
    return not isinstance(value, (tuple, list, dict))


def _leaves(dynamic_shapes: Any) -> list[Any]:
    return list(pytree.tree_leaves(dynamic_shapes, is_leaf=_is_leaf))


def _mapped(dynamic_shapes: Any, function: Callable[[Any], Any]) -> Any:
    return pytree.tree_map(function, dynamic_shapes, is_leaf=_is_leaf)
