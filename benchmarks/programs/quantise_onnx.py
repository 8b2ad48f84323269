"""A model in int8 by ONNX Runtime's own static quantiser: `quantise_onnx.py MODEL.onnx INPUT.npy INT8.onnx`.

Operators between bytes (QDQ), uint8 activations, int8 weights of one scale a channel: what PT2E makes for x86.
"""

import logging
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnxruntime
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

source, given, target = sys.argv[1:]
logging.disable(logging.WARNING)
name = onnxruntime.InferenceSession(source, providers=["CPUExecutionProvider"]).get_inputs()[0].name


class Once(CalibrationDataReader):
    """The one input that PT2E is calibrated with, too."""

    def __init__(self):
        self.left = [{name: np.load(given)}]

    def get_next(self):
        """The next input, None at the end."""
        return self.left.pop() if self.left else None


with tempfile.TemporaryDirectory() as folder:
    prepared = str(Path(folder) / "prepared.onnx")
    quant_pre_process(source, prepared, skip_symbolic_shape=True)
    quantize_static(
        prepared,
        target,
        Once(),
        quant_format=QuantFormat.QDQ,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        per_channel=True,
    )
