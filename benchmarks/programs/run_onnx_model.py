"""A larger model in ONNX Runtime: `run_onnx_model.py MODEL.onnx INPUT.npy OUTPUT.npy CALLS`. Prints ms a call."""

import statistics
import sys
import time

import numpy as np
import onnxruntime

path, given, result, calls = sys.argv[1:]
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
feed = {session.get_inputs()[0].name: np.load(given)}
np.save(result, session.run(None, feed)[0])
times = []
for _ in range(int(calls)):
    start = time.perf_counter_ns()
    session.run(None, feed)
    times.append((time.perf_counter_ns() - start) / 1e6)
print(statistics.median(times))
