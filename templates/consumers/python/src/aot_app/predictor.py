"""The model, for callers of every kind: plain, threaded, asyncio."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aot_app.bundle import bundle_path, use_runner

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

    import aotrun


class Predictor:
    """A loaded model.

    Weights are mapped, not read: processes that load the same bundle share one copy of them.

    Args:
        bundle: the bundle's folder; found as `bundle_path` says by default.
        model: which of its models; not needed when there is one.
        device: `cpu`, `cuda`, `cuda:1`, `rocm`, ...; the model's own by default.
        concurrency: how many calls run at the same time; others wait.

    Raises:
        aotrun.AotError: one of its subclasses, with three lines: what is wrong, what it means, what to do.
    """

    def __init__(
        self,
        bundle: str | None = None,
        *,
        model: str | None = None,
        device: str | None = None,
        concurrency: int = 1,
    ) -> None:
        bundle = bundle or bundle_path()
        use_runner(bundle)
        import aotrun

        self.model: aotrun.Model = aotrun.load(bundle, model=model, device=device, runners=concurrency)
        self._concurrency = concurrency
        self._pool: ThreadPoolExecutor | None = None

    def predict(self, *inputs: Any) -> Any:
        """Run on arrays (NumPy, torch, DLPack, buffers), borrowed without a copy; one output, or a tuple.

        Outputs are `aotrun.Tensor`: `numpy.asarray(y)` and `torch.from_dlpack(y)` share their memory. The interpreter
        lock is released while the model runs, so threads may call this at once.
        """
        return self.model(*inputs)

    async def predict_async(self, *inputs: Any) -> Any:
        """`predict` without blocking the event loop: it runs on one of `concurrency` threads of this predictor."""
        import asyncio

        if self._pool is None:
            from concurrent.futures import ThreadPoolExecutor

            self._pool = ThreadPoolExecutor(self._concurrency, thread_name_prefix="predictor")
        return await asyncio.get_running_loop().run_in_executor(self._pool, self.model, *inputs)

    def close(self) -> None:
        """Free the model after running calls have ended; outputs stay valid."""
        if self._pool is not None:
            self._pool.shutdown()
        self.model.close()
