"""A model of int8 whose weights oneDNN packs at export: what PyTorch's PT2E quantisation makes of layers, by hand."""

import torch
import torch.ao.quantization.fx._decomposed
from torch import nn
from torch.nn import functional

Q = torch.ops.quantized_decomposed


class Bytes(nn.Module):
    """The weight and the input of a layer."""

    def __init__(self, shape, groups=1):
        super().__init__()
        weight = torch.randn(shape) / shape[1] ** 0.5
        self.groups = groups
        self.register_buffer("scales", weight.abs().flatten(1).amax(1) / 127)
        self.register_buffer("zeros", torch.zeros(shape[0], dtype=torch.int64))
        how = (self.scales, self.zeros, 0, -127, 127, torch.int8)
        self.register_buffer("weight", Q.quantize_per_channel(weight, *how))

    def forward(self, x):
        x = Q.quantize_per_tensor(x, 0.04, 117, 0, 255, torch.uint8)
        x = Q.dequantize_per_tensor(x, 0.04, 117, 0, 255, torch.uint8)
        weight = Q.dequantize_per_channel(self.weight, self.scales, self.zeros, 0, -127, 127, torch.int8)
        return functional.linear(x, weight) if x.dim() == 2 else functional.conv2d(x, weight, groups=self.groups)


class Layers(nn.Module):
    """Convolutions of an odd number of channels, of several taps and in groups; two linear layers."""

    def __init__(self):
        super().__init__()
        self.odd, self.taps = Bytes((128, 3, 3, 3)), Bytes((256, 128, 3, 3))
        self.groups = Bytes((256, 32, 3, 3), 8)
        self.wide, self.last = Bytes((1008, 256)), Bytes((2000, 1008))

    def forward(self, x):
        y = torch.relu(self.taps(torch.relu(self.odd(x))))
        y = torch.relu(self.groups(y)).mean((2, 3))
        return self.last(torch.relu(self.wide(y)))


def model():
    torch.manual_seed(0)
    return Layers().eval(), (torch.randn(2, 3, 10, 10),), None
