"""Where the weights lie in their blob, read from the code that AOTInductor generated: nothing else records it."""

from __future__ import annotations

import re
from typing import Any

_FIELD = re.compile(r"constants_info_\[(\d+)\]\.(\w+) = (.+);")


def describe(wrapper: str) -> list[dict[str, Any]]:
    """`aotpack.metadata.Constant` of each weight, in the blob's order, from the text of the generated wrapper.

    Empty when some cannot be used where they lie, such as those that oneDNN has packed: then the runtime copies all.
    """
    infos: dict[int, dict[str, str]] = {}
    for index, field, value in _FIELD.findall(wrapper):
        infos.setdefault(int(index), {})[field] = value
    constants = []
    for _, info in sorted(infos.items()):
        if info.get("from_folded") == "true":
            continue  # computed when the model is loaded
        if "layout_strided" not in info.get("layout", "") or "opaque_metadata" in info:
            return []
        shape, strides = _numbers(info["shape"]), _numbers(info["stride"])
        constant: dict[str, Any] = {"shape": shape, "offset": int(info["offset"])}
        if strides != _c_order(shape):
            constant["strides"] = strides
        constants.append(constant)
    return constants


def _numbers(braces: str) -> list[int]:
    """`{256, 64}` or `{256L, 64L}`."""
    return [int(number) for number in re.findall(r"\d+", braces)]


def _c_order(shape: list[int]) -> list[int]:
    strides = []
    step = 1
    for size in reversed(shape):
        strides.append(step)
        step *= max(size, 1)
    return strides[::-1]
