"""The same in Python with ONNX Runtime: `run_onnx.py MODEL.onnx ROWS COLUMNS CALLS`."""

import statistics
import sys
import time

import numpy as np
import onnxruntime

path, rows, columns, calls = sys.argv[1], *map(int, sys.argv[2:])
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
feed = {session.get_inputs()[0].name: np.ones((rows, columns), np.float32)}
print(float(session.run(None, feed)[0].flat[0]), flush=True)
times = []
for _ in range(calls):
    start = time.perf_counter_ns()
    session.run(None, feed)
    times.append((time.perf_counter_ns() - start) / 1e3)
print(statistics.median(times) if times else 0.0)
