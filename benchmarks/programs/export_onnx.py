"""Exports an example for ONNX Runtime: `export_onnx.py FILE.py MODEL.onnx [FUNCTION]`."""

import runpy
import sys

import torch

source, target, *function = sys.argv[1:]
module, example, *shapes = runpy.run_path(source)[function[0] if function else "model"]()
dynamic = {"x": {0: "batch"}} if shapes else None
with torch.no_grad():
    torch.onnx.export(module.eval(), example, target, dynamo=False, input_names=["x"], dynamic_axes=dynamic)
