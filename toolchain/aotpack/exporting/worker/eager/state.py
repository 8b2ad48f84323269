"""What a module keeps from call to call, and how to give it back."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch

from .. import naming

#: What each module has for itself; beside it lie attributes that a user gave it.
_MODULES_OWN = frozenset(vars(torch.nn.Module())) - {"training"}
_CONTAINERS = (list, dict, set, deque)
#: Where an attribute is not.
_ABSENT = object()


@dataclass
class Changes:
    """What a call does to the module itself, beside writing into its buffers."""

    #: Buffers that it replaces by tensors of other values.
    assigned: list[str]
    #: Buffers that it makes where there was None.
    made: list[str]
    #: Other attributes, as `count: 0 -> 1`.
    attributes: list[str]


@contextlib.contextmanager
def kept(module: Any) -> Iterator[None]:
    """Whatever is called within, the module then has the state that it had."""
    with attributes_kept(module), buffers_kept(module):
        yield


@contextlib.contextmanager
def attributes_kept(module: Any) -> Iterator[Attributes]:
    """The same of all that is neither a parameter, a buffer nor a module."""
    attributes = Attributes(module)
    try:
        yield attributes
    finally:
        attributes.put_back()


@contextlib.contextmanager
def buffers_kept(module: Any) -> Iterator[Changes]:
    """The same of buffers alone; what was changed of them is told at the end."""
    owned = [(name, each, dict(each._buffers)) for name, each in parts(module)]
    buffers = values_of(module.buffers())
    places = {id(buffer): _place(buffer) for buffer, _ in buffers}
    changes = Changes([], [], [])
    try:
        yield changes
    finally:
        values = {id(buffer): value for buffer, value in buffers}
        for name, each, before in owned:
            prefix = f"{name}." if name else ""
            changes.assigned += [
                f"{prefix}{key}"
                for key, buffer in before.items()
                if _is_another(each._buffers.get(key), buffer, values.get(id(buffer)), places.get(id(buffer)))
            ]
            changes.made += [
                f"{prefix}{key}"
                for key, buffer in before.items()
                if buffer is None and each._buffers.get(key) is not None
            ]
            each._buffers.update(before)  # `self.count = self.count + 1` puts another tensor there
        put_back(buffers)


class Attributes:
    """The attributes of a module and of those within it that are neither parameters, buffers nor modules.

    Lists, dicts, sets and tensors among them are remembered with what they hold; other objects are not looked into.
    """

    def __init__(self, module: Any) -> None:
        self._before = [(name, each, _own(each)) for name, each in parts(module)]
        held = [value for _, _, own in self._before for value in own.values()]
        self._held = {id(container): (container, _content(container)) for container in _containers(held)}
        self._values = values_of(_tensors(held, [content for _, content in self._held.values()]))

    def changes(self) -> list[str]:
        """What is not as it was, as `count: 0 -> 1`."""
        others = {key for key, held in self._held.items() if not _holds_the_same(*held)}
        return [
            f"{name}.{key}: {told}" if name else f"{key}: {told}"
            for name, each, before in self._before
            for key in {**before, **_own(each)}
            if (told := self._told(before.get(key, _ABSENT), _own(each).get(key, _ABSENT), others))
        ]

    def put_back(self) -> None:
        """Let all be as it was."""
        for container, content in self._held.values():
            if not _holds_the_same(container, content):
                container.clear()
                getattr(container, "update" if isinstance(container, (dict, set)) else "extend")(content)
        for _, each, before in self._before:
            for key in _own(each).keys() - before.keys():
                del vars(each)[key]
            vars(each).update(before)
        put_back(self._values)

    def _told(self, before: Any, now: Any, others: set[int]) -> str:
        """How an attribute changed; empty when it did not. `others` are containers that hold something else now."""
        if not _is_same(now, before):
            return f"{_text(before)} -> {_text(now)}"
        # Many modules may hold one great container.
        if not others or others.isdisjoint(map(id, _containers([before]))):
            return ""
        was, is_now = _text(self._held.get(id(before), (None, before))[1]), _text(now)
        return f"what {was} holds" if was == is_now else f"{was} -> {is_now}"


def parts(module: Any) -> list[tuple[str, Any]]:
    """The module and those within it, by their names; of what torch.jit.trace made, only tensors can change."""
    return [(name, each) for name, each in module.named_modules() if not isinstance(each, torch.jit.ScriptModule)]


def values_of(tensors: Iterable[torch.Tensor]) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Tensors that a call may write into, and what they hold; nobody can write into what was expanded."""
    return [(tensor, tensor.detach().clone()) for tensor in tensors if not _is_expanded(tensor)]


def put_back(values: Iterable[tuple[torch.Tensor, torch.Tensor]]) -> None:
    """Let tensors hold what `values_of` found in them.

    Nothing is written into those that do: their memory may be a file's, which nobody may write into.
    """
    with torch.inference_mode():  # it may be a tensor of this mode, which no other may write into
        for tensor, value in values:
            if _is_strided(tensor) and tensor.shape != value.shape:  # `self.cache.data = torch.cat(...)`
                tensor.data = value
            elif not _holds(tensor, value):
                tensor.copy_(value)


def same_bytes(left: torch.Tensor, right: torch.Tensor) -> bool:
    """Equal elements of tensors of one size, where a NaN equals itself."""
    left, right = (each.resolve_conj().resolve_neg().contiguous().reshape(-1) for each in (left, right))
    return bool(torch.equal(left.view(torch.uint8), right.view(torch.uint8)))


def _holds(tensor: torch.Tensor, value: torch.Tensor) -> bool:
    """Whether it does for certain."""
    is_common = type(tensor) is torch.Tensor and _is_strided(tensor) and not tensor.is_quantized
    return is_common and tensor.dtype == value.dtype and same_bytes(tensor, value)


def _own(module: Any) -> dict[str, Any]:
    return {key: value for key, value in vars(module).items() if key not in _MODULES_OWN}


def _containers(values: Iterable[Any]) -> list[Any]:
    """Lists, dicts, sets and what of them lies within others."""
    found: dict[int, Any] = {}
    waiting = list(values)
    while waiting:
        value = waiting.pop()
        if isinstance(value, _CONTAINERS) and id(value) not in found:
            found[id(value)] = value
        elif not isinstance(value, tuple):
            continue
        waiting += value.values() if isinstance(value, dict) else value
    return list(found.values())


def _content(container: Any) -> Any:
    return (dict if isinstance(container, dict) else set if isinstance(container, set) else list)(container)


def _tensors(*held: Iterable[Any]) -> list[torch.Tensor]:
    """Tensors among values and in containers, each once; no parameters, which recurrent layers hold in lists."""
    found: dict[int, torch.Tensor] = {}
    for values in held:
        for value in values:
            parts = value.values() if isinstance(value, dict) else value if isinstance(value, _CONTAINERS) else [value]
            found.update({id(part): part for part in parts if type(part) is torch.Tensor})
    return list(found.values())


def _holds_the_same(container: Any, content: Any) -> bool:
    if isinstance(container, set):
        return bool(container == content)
    if isinstance(container, dict):
        return list(container) == list(content) and all(_is_same(container[key], content[key]) for key in content)
    return len(container) == len(content) and all(map(_is_same, container, content))


def _is_same(now: Any, before: Any) -> bool:
    """Whether an attribute is what it was; numbers and texts are compared, all else is another when it was replaced."""
    if now is before:  # a float that is no number equals nothing
        return True
    return _is_plain(now) and _is_plain(before) and type(now) is type(before) and bool(now == before)


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, (bool, int, float, str))


def _text(value: Any) -> str:
    if value is _ABSENT:
        return "nothing"
    if _is_plain(value):
        text = repr(value)
        return text if len(text) <= 40 else f"{text[:40]}..."
    if isinstance(value, torch.Tensor):
        return f"a tensor of {list(value.shape)}"
    size = f" of {len(value)}" if isinstance(value, _CONTAINERS) else ""
    return f"{naming.a(value)}{size}"


def _is_another(now: Any, before: Any, value: Any, place: int | None) -> bool:
    """Whether a buffer is replaced by one of another value, or given other memory, and not computed once more."""
    if now is None or before is None or (now is before and place in (None, _place(now))):
        return False
    return value is None or now.shape != value.shape or not torch.equal(now, value)


def _place(tensor: torch.Tensor) -> int | None:
    return tensor.data_ptr() if _is_strided(tensor) else None


def _is_expanded(tensor: torch.Tensor) -> bool:
    return _is_strided(tensor) and any(
        stride == 0 and size > 1 for stride, size in zip(tensor.stride(), tensor.shape, strict=True)
    )


def _is_strided(tensor: torch.Tensor) -> bool:
    return tensor.layout == torch.strided and not tensor.is_nested
