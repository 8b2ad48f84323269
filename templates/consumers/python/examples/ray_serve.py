"""The model as a service on a Ray cluster, requests put together into batches: pip install "ray[serve]".

    serve run examples.ray_serve:app

`POST /` takes `{"data": [...]}`, the numbers of one row, and answers `{"output0": [...]}`. Replicas on one machine map
the same weights, so their memory is paid for once. On one machine alone `bin/aotrun serve` needs none of this.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import numpy as np
from ray import serve

PROJECT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


@serve.deployment(num_replicas=2, ray_actor_options={"num_cpus": 1}, max_ongoing_requests=64)
class Service:
    """One replica: a process that Ray starts, watches and replaces."""

    def __init__(self, project: str) -> None:
        sys.path.insert(0, os.path.join(project, "src"))
        from aot_app import Predictor

        self.predictor = Predictor()

    @serve.batch(max_batch_size=32, batch_wait_timeout_s=0.002)
    async def predict(self, rows: list[Any]) -> list[dict[str, list[float]]]:
        """The outputs of rows that came at the same time, each its own. The model's first size must be dynamic."""
        outputs = await self.predictor.predict_async(np.stack(rows))
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        names = [spec.name for spec in self.predictor.model.outputs]
        arrays = [np.asarray(tensor) for tensor in outputs]
        return [{name: array[row].tolist() for name, array in zip(names, arrays)} for row in range(len(rows))]

    async def __call__(self, request: Any) -> dict[str, list[float]]:
        """Answer an HTTP request."""
        document = await request.json()
        answer: dict[str, list[float]] = await self.predict(np.asarray(document["data"], np.float32))
        return answer


app = Service.bind(PROJECT)
