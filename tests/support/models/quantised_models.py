"""Models that users have quantised, in the ways that torchao offers for CPUs. For a backend venv; torchao lies in
`AOTPACK_QUANTISED_PACKAGES`, or is installed.
"""

from __future__ import annotations

import logging
import os
import sys
import warnings
from typing import Any

import torch
from torch import nn
from torch.nn import functional

sys.path += filter(None, [os.environ.get("AOTPACK_QUANTISED_PACKAGES")])
logging.getLogger("torchao").setLevel(logging.ERROR)  # extensions for GPUs do not load
warnings.simplefilter("ignore")

Example = tuple[nn.Module, tuple[torch.Tensor, ...]]


class Layers(nn.Module):
    """Linear layers with what is usually fused to them."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third = nn.Linear(256, 512), nn.Linear(512, 256), nn.Linear(256, 256)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.third(torch.relu(self.second(functional.gelu(self.first(x))) + x))


class Pictures(nn.Module):
    """Plain, residual, strided, pointwise and depthwise convolutions, and a pool between them."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16)
        self.residual, self.narrow = nn.Conv2d(16, 16, 3, padding=1), nn.Conv2d(16, 32, 1, stride=2)
        self.depthwise, self.scores = nn.Conv2d(32, 32, 3, padding=1, groups=32), nn.Linear(32, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.norm(self.stem(x)))
        x = functional.max_pool2d(torch.relu(self.residual(x) + x), 3, 1, 1)
        x = functional.relu6(self.depthwise(functional.hardswish(self.narrow(x))))
        return self.scores(functional.max_pool2d(x, 2).mean((2, 3)))


class Places(nn.Module):
    """Layers to whose results a constant of the same sizes is added, and the input."""

    def __init__(self) -> None:
        super().__init__()
        self.picture, self.places = nn.Conv2d(3, 16, 3, padding=1), nn.Parameter(torch.randn(2, 16, 32, 32))
        self.rows, self.start = nn.Linear(32, 32), nn.Parameter(torch.randn(2, 16, 32, 32))
        self.last = nn.Conv2d(16, 3, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.relu(self.picture(x) + self.places)
        y = torch.relu(self.rows(y) + self.start)
        return self.last(y) + x


class Words(nn.Module):
    """An embedding and a layer on top."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.layer = nn.Embedding(1000, 64), nn.Linear(64, 64)

    def forward(self, words: torch.Tensor) -> torch.Tensor:
        return self.layer(self.embedding(words))


def rows() -> torch.Tensor:
    """Input of `Layers`."""
    return torch.randn(8, 256)


def pictures() -> torch.Tensor:
    """Input of `Pictures`."""
    return torch.randn(2, 3, 32, 32)


def pt2e(module: nn.Module, *inputs: torch.Tensor, dynamic: bool = False, trained: bool = False) -> Any:
    """A module as PyTorch's documentation quantises it for Inductor on x86."""
    from torchao.quantization.pt2e import move_exported_model_to_eval
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e, prepare_qat_pt2e
    from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86

    quantizer = x86.X86InductorQuantizer()
    quantizer.set_global(x86.get_default_x86_inductor_quantization_config(is_dynamic=dynamic, is_qat=trained))
    with torch.set_grad_enabled(trained):
        # Strict: the quantiser tells layers apart by what only such a trace records.
        graph = torch.export.export(module.train() if trained else module, inputs, strict=True).module()
        prepared = (prepare_qat_pt2e if trained else prepare_pt2e)(graph, quantizer)
        prepared(*inputs)
        if trained:
            move_exported_model_to_eval(prepared)
        return convert_pt2e(prepared)


def quantised(module: nn.Module, config: Any, kind: type[nn.Module] = nn.Linear) -> nn.Module:
    """The layers of one kind quantised by torchao's quantize_, in place."""
    from torchao.quantization import quantize_

    quantize_(module, config, filter_fn=lambda layer, _name: isinstance(layer, kind))
    return module


def layers() -> nn.Module:
    """Seeded, in evaluation mode."""
    torch.manual_seed(0)
    return Layers().eval()


def linear_static() -> Example:
    x = rows()
    return pt2e(layers(), x), (x,)


def linear_dynamic() -> Example:
    x = rows()
    return pt2e(layers(), x, dynamic=True), (x,)


def small_dynamic() -> Example:
    """So small that Inductor would generate its product."""
    torch.manual_seed(0)
    x = torch.randn(2, 24, 192)
    return pt2e(nn.Sequential(nn.Linear(192, 10)).eval(), x, dynamic=True), (x,)


def linear_trained() -> Example:
    x = rows()
    return pt2e(layers(), x, trained=True), (x,)


def convolutions_static() -> Example:
    torch.manual_seed(0)
    x = pictures()
    return pt2e(Pictures().eval(), x), (x,)


def convolutions_trained() -> Example:
    torch.manual_seed(0)
    x = pictures()
    return pt2e(Pictures(), x, trained=True), (x,)


def added_static() -> Example:
    torch.manual_seed(0)
    x = pictures()
    return pt2e(Places().eval(), x), (x,)


def added_dynamic() -> Example:
    torch.manual_seed(0)
    x = pictures()
    return pt2e(Places().eval(), x, dynamic=True), (x,)


def int8_weights() -> Example:
    from torchao.quantization import Int8WeightOnlyConfig

    return quantised(layers(), Int8WeightOnlyConfig()), (rows(),)


def int8_weights_bfloat16() -> Example:
    from torchao.quantization import Int8WeightOnlyConfig

    return quantised(layers().bfloat16(), Int8WeightOnlyConfig()), (rows().bfloat16(),)


def int8_dynamic() -> Example:
    from torchao.quantization import Int8DynamicActivationInt8WeightConfig

    return quantised(layers(), Int8DynamicActivationInt8WeightConfig()), (rows(),)


def intx_weights() -> Example:
    """Numbers of four bits in bytes, one scale a column."""
    from torchao.quantization import IntxWeightOnlyConfig

    return quantised(layers(), IntxWeightOnlyConfig(weight_dtype=torch.int4)), (rows(),)


def float8_weights() -> Example:
    from torchao.quantization import Float8WeightOnlyConfig

    return quantised(layers(), Float8WeightOnlyConfig()), (rows(),)


def int8_embedding() -> Example:
    from torchao.quantization import IntxWeightOnlyConfig

    torch.manual_seed(0)
    module = quantised(Words().eval(), IntxWeightOnlyConfig(weight_dtype=torch.int8), nn.Embedding)
    return module, (torch.randint(0, 1000, (4, 16)),)


def mixed() -> Example:
    """One layer of int8 weights, one of floats, one dynamic."""
    from torchao.quantization import Int8DynamicActivationInt8WeightConfig, Int8WeightOnlyConfig

    module = layers()
    quantised(module.first, Int8WeightOnlyConfig())
    quantised(module.third, Int8DynamicActivationInt8WeightConfig())
    return module, (rows(),)
