"""The same in Python with torch: `run_torch.py MODEL.pt2 ROWS COLUMNS CALLS`."""

import statistics
import sys
import time

import torch

path, rows, columns, calls = sys.argv[1], *map(int, sys.argv[2:])
torch.set_num_threads(1)
with torch.inference_mode():
    model = torch._inductor.aoti_load_package(path)
    x = torch.ones(rows, columns)
    print(float(model(x).flatten()[0]), flush=True)
    times = []
    for _ in range(calls):
        start = time.perf_counter_ns()
        model(x)
        times.append((time.perf_counter_ns() - start) / 1e3)
print(statistics.median(times) if times else 0.0)
