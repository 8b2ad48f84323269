"""What becomes of indices that leave their tensor: in eager PyTorch, and in a bundle of the same model.

    indices_out_of_range.py eager > calls.json             in the backend's environment
    indices_out_of_range.py BUNDLE THREADS < calls.json    prints each call's error, null where there is none

Each call of `safety_models.Indexing` has one index out of range, at a random place by a random distance.
"""

from __future__ import annotations

import json
import random
import sys
from typing import Any

DRAWS = 12

#: How far each tensor of indices reaches, in the order of the model's inputs.
SIZES = (7, 7, 5, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 30, 5, 7, 5)


def eager() -> dict[str, Any]:
    """The inputs, and for each call which index is where, whether PyTorch raises."""
    import safety_models
    import torch

    drawn = random.Random(0)  # noqa: S311 - not for secrets
    module, (x, source, indices), _ = safety_models.indexing()
    calls = []
    for number, size in enumerate(SIZES):
        for _ in range(DRAWS):
            distance = drawn.choice([0, 1, drawn.randint(2, 1000), 10**6, 2**31 - 1 - size, 2**32, 2**40])
            if indices[number].dtype == torch.int32:
                distance = min(distance, 2**31 - 1 - size)
            value = size + distance if drawn.random() < 0.5 else -size - 1 - distance
            call = [index.clone() for index in indices]
            place = drawn.randrange(call[number].numel())
            call[number].view(-1)[place] = value
            try:
                module(x, source, call)
                raises = False
            except (IndexError, RuntimeError):
                raises = True
            calls.append({"number": number, "place": place, "value": value, "raises": raises})
    arrays = [{"dtype": str(t.dtype).removeprefix("torch."), "values": t.tolist()} for t in (x, source, *indices)]
    return {"inputs": arrays, "calls": calls}


def bundle(path: str, threads: int, document: dict[str, Any]) -> list[str | None]:
    """The error of each call."""
    import aotrun
    import numpy as np

    inputs = [np.array(each["values"], dtype=each["dtype"]) for each in document["inputs"]]
    errors: list[str | None] = []
    with aotrun.load(path, model="indexing", threads=threads) as model:
        model(*inputs)
        for call in document["calls"]:
            changed = [array.copy() for array in inputs]
            changed[2 + call["number"]].flat[call["place"]] = call["value"]
            try:
                model(*changed)
                errors.append(None)
            except aotrun.AotError as error:
                errors.append(str(error))
    return errors


if __name__ == "__main__":
    result = eager() if sys.argv[1] == "eager" else bundle(sys.argv[1], int(sys.argv[2]), json.load(sys.stdin))
    json.dump(result, sys.stdout)
