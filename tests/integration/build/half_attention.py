"""Attention in bfloat16: libtorch asks FBGEMM, which asks /proc/cpuinfo."""

import torch
from torch import nn


class Attention(nn.Module):
    def forward(self, q, k, v):
        return nn.functional.scaled_dot_product_attention(q, k, v)


def model():
    torch.manual_seed(0)
    return Attention().eval(), tuple(torch.randn(1, 4, 128, 64, dtype=torch.bfloat16) for _ in range(3)), None
