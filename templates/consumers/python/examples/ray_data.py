"""Batch inference over many processes, or many machines, with Ray Data: pip install "ray[data]".

Every worker loads the bundle once. Workers on one machine map the same weights, so their memory is paid for once.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import numpy as np
import ray

PROJECT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(PROJECT, "src"))


class Infer:
    """One worker: a callable that Ray constructs once and then feeds batches."""

    def __init__(self, project: str) -> None:
        sys.path.insert(0, os.path.join(project, "src"))
        from aot_app import Predictor

        self.predictor = Predictor()

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        outputs = self.predictor.predict(batch["data"])
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        names = [spec.name for spec in self.predictor.model.outputs]
        return {name: np.asarray(tensor) for name, tensor in zip(names, outputs)}


def infer(rows: np.ndarray[Any, Any], workers: int = 2, batch_size: int = 256) -> ray.data.Dataset:
    """The outputs for `rows` (rows, ...) of a model with one input, in the order of the rows."""
    ray.data.DataContext.get_current().execution_options.preserve_order = True
    dataset = ray.data.from_numpy(np.array_split(rows, 4 * workers))  # several pieces a worker, so that all stay busy
    return dataset.map_batches(Infer, fn_constructor_args=(PROJECT,), batch_size=batch_size, concurrency=workers)


if __name__ == "__main__":
    ray.init(num_cpus=2, include_dashboard=False)
    for output in infer(np.load(sys.argv[1])).take(3):
        print(output)
