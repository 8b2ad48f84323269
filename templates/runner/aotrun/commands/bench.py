"""`aotrun bench`: time a model, warm, one caller."""

from __future__ import annotations

import os
from time import perf_counter_ns

from aotrun.commands.session import model_path, open_model, read_inputs
from aotrun.errors import UsageError, printable
from aotrun.formats.documents import SCHEMA, dumps
from aotrun.library.sample import read_sample, sample_inputs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Sequence

    from aotrun.arrays.array import Array
    from aotrun.library.model import Model


def main(values: Dict[str, Any]) -> int:
    """Run the command; returns the exit code."""
    start = perf_counter_ns()
    model = open_model(values)
    load_ms = (perf_counter_ns() - start) / 1e6
    inputs = _inputs(model, values)
    result = model.run(*inputs)
    for _ in range(values["warmup"]):
        model(*inputs)
    times = []
    for _ in range(values["iterations"]):
        start = perf_counter_ns()
        model(*inputs)
        times.append((perf_counter_ns() - start) / 1e6)
    warm = model.run(*inputs)
    document = {
        "schema": SCHEMA,
        "model": os.path.basename(model.path),
        "inputs": [{"dtype": array.dtype.name, "shape": list(array.shape)} for array in inputs],
        "variant": model.variant,
        "prepared": model.prepared,
        "threads": values["threads"] or _default_threads(),
        "warmup": values["warmup"],
        "iterations": values["iterations"],
        "load_ms": load_ms,
        "first_run_ms": result.latency_ms,
        **summary(times),
        # Of one run, inputs already on the device: what the others add is the way there.
        "latency_ms": warm.latency_ms,
        "peak_rss_bytes": warm.peak_rss_bytes,
        "device_used_bytes": warm.device_used_bytes,
    }
    if values["json"]:
        print(dumps(document))
    else:
        runs = f"{values['iterations']} runs after {values['warmup']}"
        form = f", variant {model.variant}" if model.variant else ""
        print(printable(f"{document['model']}: {runs}, {document['threads']} threads{form}"))
        for key in ("load_ms", "first_run_ms", "median_ms", "p90_ms", "min_ms", "mean_ms", "latency_ms"):
            print(f"  {key[:-3].replace('_', ' '):<10} {document[key]:10.4f} ms")
        print(f"  peak RSS   {result.peak_rss_bytes / 1e6:10.1f} MB")
    return 0


def _default_threads() -> int:
    """The size of OpenMP's pool when nobody asked for one."""
    asked = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    return int(asked) if asked.isdecimal() and int(asked) else len(os.sched_getaffinity(0))


def summary(times: Sequence[float]) -> Dict[str, float]:
    """Order statistics of times in ms: each is a time that was measured (nearest rank)."""
    ranked = sorted(times)
    last = len(ranked) - 1
    return {
        "median_ms": ranked[(last + 1) // 2],
        "p90_ms": ranked[min(last, (9 * len(ranked) + 9) // 10 - 1)],
        "min_ms": ranked[0],
        "mean_ms": sum(ranked) / len(ranked),
    }


def _inputs(model: Model, values: Dict[str, Any]) -> List[Array]:
    if values["input"]:
        return read_inputs(values["input"], model.inputs, cast=values["cast"])
    sample = read_sample(model_path(values["model"]))
    inputs = sample_inputs(sample, model.inputs) if sample else None
    if inputs is None:
        words = " ".join(f"--input {spec.name}=FILE" for spec in model.inputs)
        raise UsageError("no inputs", "The package has no recorded sample to take them from.", f"Give: {words}")
    return inputs
