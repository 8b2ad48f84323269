"""A decoder block: embedding, causal attention, feed-forward, with a dynamic batch and sequence length."""

import torch
from torch import nn
from torch.nn import functional


class Transformer(nn.Module):
    """Token ids in, scores of the next token out."""

    def __init__(self, vocabulary=256, width=64, heads=4, longest=128):
        super().__init__()
        self.heads = heads
        self.tokens = nn.Embedding(vocabulary, width)
        self.positions = nn.Embedding(longest, width)
        self.attention_norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.project = nn.Linear(width, width)
        self.feed_norm = nn.LayerNorm(width)
        self.feed = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.scores = nn.Linear(width, vocabulary)

    def forward(self, ids):
        batch, length = ids.shape
        x = self.tokens(ids) + self.positions(torch.arange(length, device=ids.device))
        q, k, v = (
            part.reshape(batch, length, self.heads, -1).transpose(1, 2)
            for part in self.qkv(self.attention_norm(x)).chunk(3, dim=-1)
        )
        mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.project(mixed.transpose(1, 2).reshape(batch, length, -1))
        x = x + self.feed(self.feed_norm(x))
        return self.scores(x)


def model():
    """Any batch of 1 to 16, any length of 2 to 128."""
    torch.manual_seed(0)
    batch = torch.export.Dim("batch", min=1, max=16)
    length = torch.export.Dim("length", min=2, max=128)
    return Transformer().eval(), (torch.randint(0, 256, (2, 16)),), ({0: batch, 1: length},)
