"""Exports an example for ONNX Runtime: `export_onnx.py FILE.py MODEL.onnx`."""

import runpy
import sys

import torch

source, target = sys.argv[1:]
module, example, *_ = runpy.run_path(source)["model"]()
with torch.no_grad():
    torch.onnx.export(module.eval(), example, target, dynamo=False, input_names=["x"], dynamic_axes={"x": {0: "batch"}})
