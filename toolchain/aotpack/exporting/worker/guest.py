"""What a process that is not ours, a notebook's, has as before once a model is exported in it."""

from __future__ import annotations

import contextlib
import copy
import inspect
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import torch
from torch._inductor import config, cpu_vec_isa

from .eager import state

#: Modules whose names, classes and lists an export may change: it pins instruction sets and edits templates.
_CHANGED = ("torch._inductor", "torch.cpu", "torch._export.serde")


def on_device(module: Any, device: str) -> Any:
    """The module, or a copy of it where it lies on another device: it is the caller's, and stays where it is."""
    target = torch.device(device)
    tensors = (*module.parameters(), *module.buffers())
    return module if all(tensor.device == target for tensor in tensors) else copy.deepcopy(module)


@contextlib.contextmanager
def left_as_it_was(module: Any) -> Iterator[None]:
    """The modes and buffers of the module, if there is one; the random numbers to come; and torch's own modules."""
    modules = [] if module is None else [each for _, each in state.parts(module)]
    modes = [] if module is None else [(each, each.training) for each in module.modules()]
    buffers = [(each, dict(each._buffers)) for each in modules]
    values = state.values_of(buffer for _, own in buffers for buffer in own.values() if buffer is not None)
    kept = [_Kept(each) for each in _own_modules()]
    options = _options()
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        for each in kept:
            each.restore()
        for name, value in _options().items():
            if value is not options[name] and value != options[name]:
                setattr(config, name, options[name])
        # It may remember what was pinned.
        cpu_vec_isa.valid_vec_isa_list.cache_clear()
        for submodule, mode in modes:
            submodule.training = mode
        for submodule, before in buffers:
            submodule._buffers.update(before)
        state.put_back(values)


def _options() -> dict[str, Any]:
    # shallow_copy_dict in older torch.
    copy_of = getattr(config, "get_config_copy", None) or config.shallow_copy_dict
    return dict(copy_of())


def _own_modules() -> list[ModuleType]:
    return [module for name, module in list(sys.modules.items()) if name.startswith(_CHANGED)]


class _Kept:
    """The names of a module of torch's, those of its classes, and what its lists hold."""

    def __init__(self, module: ModuleType) -> None:
        classes = [
            value for value in vars(module).values() if inspect.isclass(value) and value.__module__ == module.__name__
        ]
        self._names = [(holder, dict(vars(holder))) for holder in (module, *classes)]
        held = list(vars(module).values())
        # The selector of algorithms is an object that holds the list of those who choose.
        held += [getattr(value, "__dict__", {}).get("preprocessing_fns") for value in held]
        self._lists = [(value, list(value)) for value in held if isinstance(value, list)]

    def restore(self) -> None:
        for holder, before in self._names:
            for name, value in before.items():
                if vars(holder).get(name) is not value:
                    setattr(holder, name, value)
        for value, content in self._lists:
            if value != content:
                value[:] = content
