"""Linear layers of int8 with the ops of PyTorch's static PT2E quantisation, so small that they are generated code."""

from __future__ import annotations

from typing import Any

import torch
import torch.ao.quantization.fx._decomposed

Q = torch.ops.quantized_decomposed


class Bytes(torch.nn.Module):
    """A layer, and the range of what it takes."""

    def __init__(self, outputs: int, inputs: int) -> None:
        super().__init__()
        weight = torch.randn(outputs, inputs) / inputs**0.5
        self.register_buffer("scales", weight.abs().amax(1) / 127)
        self.register_buffer("zeros", torch.zeros(outputs, dtype=torch.int64))
        self.register_buffer("weight", (weight / self.scales[:, None]).round().to(torch.int8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = Q.quantize_per_tensor(x, 0.04, 117, 0, 255, torch.uint8)
        x = Q.dequantize_per_tensor(x, 0.04, 117, 0, 255, torch.uint8)
        weight = Q.dequantize_per_channel(self.weight, self.scales, self.zeros, 0, -127, 127, torch.int8)
        return torch.nn.functional.linear(x, weight)


def model() -> tuple[Any, ...]:
    torch.manual_seed(0)
    rows = torch.export.Dim("rows", min=1, max=1 << 20)
    layers = torch.nn.Sequential(Bytes(256, 64), torch.nn.ReLU(), Bytes(64, 256))
    return layers.eval(), (torch.randn(8, 64),), ({0: rows},)
