"""`dynamic_shapes` as users write it, made what torch.export takes: an entry for each part of the inputs."""

from __future__ import annotations

import inspect
from collections import OrderedDict, defaultdict
from collections.abc import Mapping
from typing import Any

import torch
from torch.utils import _pytree as pytree

from .. import naming
from ..eager import nesting
from ..failure import WorkerError

#: Of what dynamic_shapes is made for torch.export. For parts of another type it wants a list.
_DICTS = (dict, OrderedDict, defaultdict)
_BUILTIN = (*_DICTS, list, tuple)


def spelled_out(dynamic_shapes: Any, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Sizes for each part of the inputs, None for what is not named. Raises WorkerError for names that no input has.

    They may hang on the input tensors themselves, or on others like them; inputs of `**named` may be named as they are,
    and those of `*rest` be entries like the others.
    """
    if dynamic_shapes is None:
        return None
    if isinstance(dynamic_shapes, (torch.export.ShapesCollection, torch.export.AdditionalInputs)):
        return _of_tensors(dynamic_shapes, module, args, kwargs)
    try:
        inputs = given(module, args, kwargs)
    except TypeError:
        return dynamic_shapes  # the call itself will tell
    if isinstance(dynamic_shapes, Mapping):
        return _by_name(dict(dynamic_shapes), inputs, module)
    if isinstance(dynamic_shapes, (tuple, list)):
        return _by_position(tuple(dynamic_shapes), inputs, _of_kind(module, inspect.Parameter.VAR_POSITIONAL))
    raise WorkerError(
        f"dynamic_shapes is {naming.a(dynamic_shapes)}",
        meaning="it says of each input which of its sizes may vary: a tuple in their order, or a dict by their names",
        fix='write ({0: torch.export.Dim("batch")},) for the first dim of a lone input',
        kind="usage",
    )


def given(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Inputs by the names of parameters, those of `**named` by their own. Raises TypeError for such that do not fit."""
    inputs = dict(inspect.signature(module.forward).bind(*args, **kwargs).arguments)
    named = _of_kind(module, inspect.Parameter.VAR_KEYWORD)
    more = {} if named is None else inputs.pop(named, {})
    return {**inputs, **more}


def spread(module: Any, kwargs: dict[str, Any]) -> inspect.Signature | None:
    """The signature of a module with `**named`, with a parameter for each input of it; None where there is none.

    torch.export (2.13) takes no sizes for inputs that `**named` collects.
    """
    named = _of_kind(module, inspect.Parameter.VAR_KEYWORD)
    signature = inspect.signature(module.forward)
    own = [key for key in kwargs if key not in signature.parameters]
    if named is None or not own:
        return None
    others = [parameter for name, parameter in signature.parameters.items() if name != named]
    return signature.replace(
        parameters=[*others, *(inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY) for key in own)]
    )


def _of_kind(module: Any, kind: Any) -> str | None:
    """The parameter that collects what no other one takes; None where there is none."""
    parameters = inspect.signature(module.forward).parameters.items()
    return next((name for name, parameter in parameters if parameter.kind is kind), None)


def _of_tensors(collection: Any, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    try:
        return dict(collection.dynamic_shapes(module, args, kwargs))
    except (ValueError, TypeError) as error:
        raise WorkerError(
            f"dynamic_shapes does not fit the inputs: {naming.first_line(error)}",
            meaning=f"a {type(collection).__name__} says of the very tensors that are the inputs what may vary",
            fix="return the same tensors as inputs, or write dynamic_shapes as a dict of parameters",
            kind="usage",
        ) from error


def _by_name(spec: dict[Any, Any], inputs: Mapping[str, Any], module: Any) -> dict[str, Any]:
    named = _of_kind(module, inspect.Parameter.VAR_KEYWORD)
    if isinstance(spec.get(named), Mapping) and named not in inputs:
        spec.update(spec.pop(named))
    absent = inspect.signature(module.forward).parameters.keys() - inputs.keys()
    spec = {name: said for name, said in spec.items() if name not in absent or said is not None}
    _refuse_unknown(spec, inputs, "the example inputs are")
    return {name: _completed(spec.get(name), value, name) for name, value in inputs.items()}


def _by_position(spec: tuple[Any, ...], inputs: Mapping[str, Any], rest: str | None) -> tuple[Any, ...]:
    if rest is not None and rest in inputs:
        place = list(inputs).index(rest)
        if len(spec) != len(inputs) or not isinstance(spec[place], (tuple, list)):
            end = place + len(inputs[rest])
            spec = (*spec[:place], spec[place:end], *spec[end:])
    if len(spec) != len(inputs):
        raise WorkerError(
            f"dynamic_shapes has {len(spec)} entries for {len(inputs)} inputs: {', '.join(inputs)}",
            meaning="a tuple has one entry for each input, in their order",
            fix="write None for an input whose sizes are fixed, or a dict of those that vary, by their names",
            kind="usage",
        )
    return tuple(_completed(said, value, name) for said, (name, value) in zip(spec, inputs.items(), strict=True))


def _completed(spec: Any, value: Any, name: str) -> Any:
    """What is said of a part of the inputs, with None for all that is not named below it."""
    children = nesting.children(value)
    if children is None:
        if isinstance(spec, (dict, tuple, list)) and not isinstance(value, torch.Tensor):
            raise WorkerError(
                f"dynamic_shapes says of sizes of input {name}, which is no tensor: it is {value!r}",
                meaning="its value is fixed in the package",
                fix="write None there",
                kind="usage",
            )
        return spec
    keys = [key for key, _ in children]
    if type(spec) is type(value) and type(spec) not in _BUILTIN:
        spec = pytree.tree_leaves(spec, is_leaf=lambda each: each is not spec)
    if spec is None:
        said = [None] * len(keys)
    elif isinstance(spec, Mapping):
        _refuse_unknown(spec, keys, "its parts are")
        said = [spec.get(key) for key in keys]
    elif isinstance(spec, (tuple, list)) and len(spec) == len(keys):
        said = list(spec)
    else:
        return spec  # torch.export says what is wrong
    done = [_completed(each, part, f"{name}.{key}") for each, (key, part) in zip(said, children, strict=True)]
    if type(value) in _DICTS:
        return dict(zip(keys, done, strict=True))
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*done)
    return tuple(done) if type(value) is tuple else done


def _refuse_unknown(spec: Mapping[Any, Any], known: Any, are: str) -> None:
    unknown = [key for key in spec if key not in known]
    if unknown:
        raise WorkerError(
            f"dynamic_shapes names {unknown[0]!r}, which there is not",
            meaning=f"{are} {', '.join(map(str, known)) or 'none'}",
            fix='write it by the names of inputs, {"x": {0: torch.export.Dim("batch")}}; what it leaves out is fixed',
            kind="usage",
        )
