"""Runs in a process under sanitizers: a model of a slim bundle whose description lies of how oneDNN packed its weights.

python hostile_layouts.py BUNDLE MODEL COUNT SECONDS      at least COUNT lies, and until so many seconds have passed

Each lie is about one to three fields of a descriptor, beside a few about the constants that name it. The model is then
refused, or runs to its end. What it computes does not matter; a sanitizer ends the process where it reads or writes
what is not its own, and the last line on stderr says which lie that was. Prints how many were refused and ran.
"""

from __future__ import annotations

import copy
import json
import random
import struct
import sys
import time
from pathlib import Path
from typing import Any

import aotrun
import numpy as np

#: Fields of a struct dnnl_memory_desc of oneDNN 3, as packed_layout.cpp reads it: name -> (offset, format, how many).
FIELDS = {
    "kind": (0, "i", 1),
    "rank": (4, "i", 1),
    "sizes": (8, "q", 12),
    "dtype": (104, "i", 1),
    "padded sizes": (112, "q", 12),
    "padded offsets": (208, "q", 12),
    "offset": (304, "q", 1),
    "format": (312, "i", 1),
    "strides": (320, "q", 12),
    "blocks": (416, "i", 1),
    "block sizes": (424, "q", 12),
    "block dims": (520, "q", 12),
    "rest": (616, "i", 38),
    "groups": (768, "i", 1),
}
NUMBERS = (-1, 0, 1, 2, 3, 4, 7, 8, 12, 13, 16, 64, 1 << 20, (1 << 31) - 1, 1 << 31, 1 << 40, (1 << 62) + 1, -(1 << 62))


def lie(descriptor: bytearray, drawn: random.Random) -> str:
    """Change one number; says which, and to what."""
    name = drawn.choice(list(FIELDS))
    begin, letter, count = FIELDS[name]
    (rank,) = struct.unpack_from("<i", descriptor, 4)
    place = drawn.randrange(min(count, max(rank, 1) + 1) if count == 12 else count)
    at = begin + place * struct.calcsize(letter)
    (before,) = struct.unpack_from(f"<{letter}", descriptor, at)
    near = (before + 1, before - 1, before * 2, before // 2, -before, before * 1000)
    value = drawn.choice(near) if drawn.random() < 0.6 else drawn.choice(NUMBERS)
    limit = 1 << (8 * struct.calcsize(letter) - 1)
    value = (value + limit) % (2 * limit) - limit
    struct.pack_into(f"<{letter}", descriptor, at, value)
    return f"{name}[{place}] = {value} (was {before})"


def swap(descriptor: bytearray, drawn: random.Random) -> str:
    """Exchange what two dims say in one or all lists: the product of sizes stays what it was."""
    (rank,) = struct.unpack_from("<i", descriptor, 4)
    if rank < 2:
        return "nothing"
    one, other = drawn.sample(range(rank), 2)
    names = drawn.choice([("sizes", "padded sizes"), ("sizes", "padded sizes", "strides"), ("strides",)])
    for name in names:
        begin = FIELDS[name][0]
        numbers = list(struct.unpack_from("<12q", descriptor, begin))
        numbers[one], numbers[other] = numbers[other], numbers[one]
        struct.pack_into("<12q", descriptor, begin, *numbers)
    return f"dims {one} and {other} exchanged in {', '.join(names)}"


def of_constants(document: dict[str, Any], drawn: random.Random) -> str:
    """A lie about a constant that names a layout, or about the list of those."""
    constant = drawn.choice([each for each in document["constants"] if each.get("layout") is not None])
    what = drawn.randrange(5)
    if what == 0:
        constant["layout"] = drawn.randrange(len(document["layouts"]) + 1)
    elif what == 1:
        constant["shape"] = constant["shape"][::-1]
    elif what == 2:
        constant["shape"] = [int(np.prod(constant["shape"]))]
    elif what == 3:
        document["rearranged"] = not document.get("rearranged", False)
    else:
        drawn.shuffle(document["constants"])
    return f"of constants, {what}"


def hostile(original: dict[str, Any], drawn: random.Random) -> tuple[dict[str, Any], list[str]]:
    """A description with a few lies in it."""
    document = copy.deepcopy(original)
    said = []
    for _ in range(drawn.choice((1, 1, 1, 2, 3))):
        if drawn.random() < 0.1:
            said.append(of_constants(document, drawn))
            continue
        which = drawn.randrange(len(document["layouts"]))
        descriptor = bytearray.fromhex(document["layouts"][which])
        said.append(f"layout {which}: {(swap if drawn.random() < 0.15 else lie)(descriptor, drawn)}")
        document["layouts"][which] = descriptor.hex()
    return document, said


def inputs_of(document: dict[str, Any]) -> list[Any]:
    """Ones, of the least sizes."""
    arrays = []
    for spec in document["inputs"]:
        shape = [dim if isinstance(dim, int) else max(dim.get("min", 0), 2) for dim in spec["dims"]]
        arrays.append(np.ones(shape, spec["dtype"]))
    return arrays


def main(bundle: str, name: str, count: int, seconds: float) -> None:
    """As many as asked for, each seed one."""
    honest = Path(bundle) / "models" / name
    folder = Path(bundle) / "models" / "hostile"
    folder.mkdir(exist_ok=True)
    for file in honest.iterdir():
        if file.name != "model.json" and not (folder / file.name).exists():
            (folder / file.name).symlink_to(file)
    original = json.loads((honest / "model.json").read_text())
    arrays = inputs_of(original)
    outcomes = {"refused": 0, "failed": 0, "ran": 0}
    end = time.monotonic() + seconds
    seed = 0
    while seed < count or time.monotonic() < end:
        document, said = hostile(original, random.Random(seed))  # noqa: S311  (no secrets)
        print(f"seed {seed}: {'; '.join(said)}", file=sys.stderr, flush=True)
        (folder / "model.json").write_text(json.dumps(document))
        try:
            model = aotrun.load(folder)
        except aotrun.AotError:
            outcomes["refused"] += 1
        else:
            try:
                model(*arrays)
                outcomes["ran"] += 1
            except aotrun.AotError:
                outcomes["failed"] += 1
            model.close()
        seed += 1
    print(json.dumps(outcomes))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))
