"""What the Python runner adds to a call of the C API: both in one process, in turn, on one model.

Arguments: bundle, the compiled embedding_loop.c, rounds, calls a round. Prints the best microseconds a call, C then
Python. The input is a NumPy array; the output is dropped.
"""

from __future__ import annotations

import ctypes
import sys
import time

import numpy as np

bundle, library, rounds, calls = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
sys.path.insert(0, f"{bundle}/runner")
import aotrun  # noqa: E402

model = aotrun.load(bundle)
x = np.full((8, 64), 0.5, np.float32)
call_c = ctypes.CDLL(library).call_c
call_c.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int)

best_c = best_python = float("inf")
for _ in range(rounds):
    start = time.perf_counter()
    call_c(model._handle, x.ctypes.data, calls)
    best_c = min(best_c, time.perf_counter() - start)

    start = time.perf_counter()
    for _ in range(calls):
        model(x)
    best_python = min(best_python, time.perf_counter() - start)
print(best_c / calls * 1e6, best_python / calls * 1e6)
