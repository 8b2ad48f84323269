"""Where the weights lie in their blob, read from the code that AOTInductor generated: nothing else records it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_FIELD = re.compile(r"constants_info_\[(\d+)\]\.(\w+) = (.+);")


def describe(
    wrapper: str, linear_rows: Mapping[str, int], convolutions: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """What `aotpack.package.metadata.ModelMetadata` says of the weights, from the text of the generated wrapper.

    Args:
        wrapper: C++.
        linear_rows: constants that linear layers multiply by, and on how many rows.
        convolutions: constants that oneDNN has packed for convolutions, and how those work.

    Empty when some cannot be used where they lie: then the runtime copies all.
    """
    infos: dict[int, dict[str, str]] = {}
    for index, field, value in _FIELD.findall(wrapper):
        infos.setdefault(int(index), {})[field] = value
    constants: list[dict[str, Any]] = []
    layouts: dict[str, int] = {}
    packed: list[dict[str, int]] = []
    begin = 0
    for _, info in sorted(infos.items()):
        if info.get("from_folded") == "true":
            continue  # computed when the model is loaded
        shape = _numbers(info["shape"])
        size = int(info["data_size"])
        constant: dict[str, Any] = {"shape": shape, "offset": int(info["offset"]), "begin": begin, "size": size}
        if "opaque_metadata" in info:
            layout = bytes(_numbers(info["opaque_metadata"])).hex()
            constant["layout"] = layouts.setdefault(layout, len(layouts))
            weight = {"constant": len(constants), "begin": begin}
            name = info["name"].strip('"')
            rows = linear_rows.get(name)
            if name in convolutions:
                constant["convolution"] = dict(convolutions[name])
            packed.append(weight if rows is None else {**weight, "rows": rows})
        elif "layout_strided" not in info.get("layout", ""):
            return {}
        else:
            strides = _numbers(info["stride"])
            if strides != _c_order(shape):
                constant["strides"] = strides
        constants.append(constant)
        begin += size
    return {"constants": constants, "layouts": list(layouts), "packed_weights": packed}


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
