"""The same through a bundle's runner and interpreter: `run_aotrun.py BUNDLE/runner MODEL ROWS COLUMNS CALLS`."""

import ctypes
import sys
import time

sys.path.insert(0, sys.argv[1])
import aotrun

path, rows, columns, calls = sys.argv[2], *map(int, sys.argv[3:])
model = aotrun.load(path, threads=1)
x = (ctypes.c_float * columns * rows)(*[(1.0,) * columns] * rows)
print(model(x).tolist()[0][0], flush=True)
times = []
for _ in range(calls):
    start = time.perf_counter_ns()
    model(x)
    times.append((time.perf_counter_ns() - start) / 1e3)
print(sorted(times)[len(times) // 2] if times else 0.0)
