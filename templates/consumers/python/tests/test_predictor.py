"""Runs the bundle's only model, or the one that AOT_MODEL names, on zeros of the sizes that its signature asks for."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import unittest
from typing import Any

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "src"))

from aot_app import Predictor


def zeros(predictor: Predictor) -> list[Any]:
    """Buffers of the least size that the model takes, but of 2 where it may choose."""
    arrays = []
    for spec in predictor.model.inputs:
        if spec.dtype is None or spec.dims is None:
            raise unittest.SkipTest(f"the package does not say what {spec.name} is")
        if not spec.dtype.format:
            raise unittest.SkipTest(f"the buffer protocol has no {spec.dtype.name}")
        shape = [max(min(2, 2 if dim.max is None else dim.max), dim.min or 0) for dim in spec.dims]
        size = spec.dtype.itemsize
        for length in shape:
            size *= length
        arrays.append(memoryview(bytearray(size)).cast(spec.dtype.format, shape))  # type: ignore[call-overload]
    return arrays


class PredictorTest(unittest.TestCase):
    def setUp(self) -> None:
        self.predictor = Predictor(model=os.environ.get("AOT_MODEL"), concurrency=2)
        self.addCleanup(self.predictor.close)
        self.inputs = zeros(self.predictor)

    def outputs(self) -> list[Any]:
        return [tensor.tolist() for tensor in self.predictor.model.run(*self.inputs).outputs.values()]

    def test_it_runs(self) -> None:
        result = self.predictor.model.run(*self.inputs)
        self.assertEqual(list(result.outputs), [spec.name for spec in self.predictor.model.outputs])
        self.assertGreater(result.latency_ms, 0)

    def test_threads_share_it(self) -> None:
        expected = self.outputs()
        seen: list[Any] = []
        threads = [threading.Thread(target=lambda: seen.append(self.outputs())) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(seen, [expected] * 4)

    def test_asyncio_runs_several_at_once(self) -> None:
        async def gather() -> list[Any]:
            return list(await asyncio.gather(*(self.predictor.predict_async(*self.inputs) for _ in range(4))))

        self.assertEqual(len(asyncio.run(gather())), 4)

    def test_an_input_too_many_is_refused(self) -> None:
        from aotrun import UsageError

        with self.assertRaises(UsageError) as caught:
            self.predictor.predict(*self.inputs, self.inputs)
        self.assertEqual(caught.exception.exit_code, 2)


if __name__ == "__main__":
    unittest.main()
