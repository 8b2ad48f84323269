"""Hostile variants of honest inputs, the same ones for the same seed."""

from __future__ import annotations

import copy
import json
import random
import struct
from collections.abc import Sequence
from typing import Any

#: Sizes, counts and offsets on which readers stumble.
_NUMBERS = (0, 1, 2, 7, 255, 256, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1 << 40, (1 << 63) - 1, 1 << 63)
_VALUES: tuple[Any, ...] = (
    *(
        None,
        True,
        False,
        0,
        -1,
        1,
        1.5,
        1e308,
        float("nan"),
        1 << 63,
        -(1 << 63),
        10**30,
        "",
        "x",
        "../x",
        "/etc/passwd",
    ),
    *("a\0b", "a\nb", "\udc80", "x" * 5000, "0" * 64, "99999999999.1", [], {}, [[]], [None], {"": None}, [1] * 100),
    {"path": "lib", "link": "lib"},
)


def mutated_bytes(dice: random.Random, seeds: Sequence[bytes]) -> bytes:
    """Some seed with a few changes, of the kinds that damage and malice make."""
    content = bytearray(dice.choice(seeds))
    for _ in range(dice.choice((1, 1, 1, 2, 3, 8))):
        at = dice.randrange(len(content) + 1)
        kind = dice.randrange(8)
        if kind == 0 and at < len(content):
            content[at] ^= 1 << dice.randrange(8)
        elif kind == 1 and at < len(content):
            content[at] = dice.choice((0, 1, 0x7F, 0x80, 0xFF, dice.randrange(256)))
        elif kind in (2, 3):
            layout = dice.choice(("<B", "<H", "<I", "<Q", ">I"))
            size = struct.calcsize(layout)
            if at + size <= len(content):
                struct.pack_into(layout, content, at, dice.choice(_NUMBERS) & ((1 << 8 * size) - 1))
        elif kind == 4:
            del content[at : at + dice.choice((1, 4, 30, len(content)))]
        elif kind == 5:
            content[at:at] = dice.randbytes(dice.choice((1, 4, 30)))
        elif kind == 6:
            start = dice.randrange(len(content) + 1)
            content[at:at] = content[start : start + dice.choice((4, 46, 200))]
        else:
            other = dice.choice(seeds)
            content[at:] = other[dice.randrange(len(other) + 1) :]
    return bytes(content)


def mutated_table(dice: random.Random, table: str) -> bytes:
    """Lines of words between tabs of which some are gone, doubled, moved, or have another word."""
    lines = [line.split("\t") for line in table.splitlines()]
    for _ in range(dice.choice((1, 1, 1, 2, 4))):
        at, words = dice.randrange(len(lines)), dice.choice(lines)
        kind = dice.randrange(5)
        if kind == 0 and len(lines) > 1:
            del lines[at]
        elif kind == 1:
            lines.insert(at, list(words))
        elif kind == 2:
            lines.insert(at, lines.pop(dice.randrange(len(lines))))
        else:
            others = [str(number) for number in _NUMBERS] + [word for line in lines for word in line]
            words[dice.randrange(len(words))] = dice.choice(
                [*others, "-1", "", "../x", "/etc/passwd", ".", "lib/../lib"]
            )
    return "".join("\t".join(words) + "\n" for words in lines).encode()


def mutated_document(dice: random.Random, document: Any) -> Any:
    """A JSON document with a few of its parts gone, doubled or replaced by something else."""
    changed = copy.deepcopy(document)
    for _ in range(dice.choice((1, 1, 1, 2, 4))):
        holders = list(_holders(changed))
        if not holders:
            return dice.choice(_VALUES)
        holder = dice.choice(holders)
        keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
        if not keys:
            continue
        key = dice.choice(keys)
        kind = dice.randrange(5)
        if kind == 0:
            del holder[key]
        elif kind == 1 and isinstance(holder, dict):
            holder[dice.choice(("", "x", "path", "a/../b", "\udc80"))] = copy.deepcopy(holder[key])
        elif kind == 1:
            holder.append(copy.deepcopy(holder[key]))
        elif kind == 2:
            holder[key] = copy.deepcopy(dice.choice([part for _, part in _parts(changed)]))
        else:
            holder[key] = copy.deepcopy(dice.choice(_VALUES))
    return changed


def text_of(document: Any) -> bytes:
    """A document as JSON, whatever is in it."""
    return json.dumps(document).encode()


def _parts(document: Any) -> list[tuple[Any, Any]]:
    items: Any = document.items() if isinstance(document, dict) else enumerate(document)
    found = list(items) if isinstance(document, (dict, list)) else []
    for _, part in list(found):
        if isinstance(part, (dict, list)):
            found += _parts(part)
    return found


def _holders(document: Any) -> list[Any]:
    parts = [document, *(part for _, part in _parts(document))] if isinstance(document, (dict, list)) else []
    return [part for part in parts if isinstance(part, (dict, list))]
