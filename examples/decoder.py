"""A decoder of tokens with a cache of keys and values in buffers: prompts of any length, then token after token.

Each conversation is a session, with a cache of its own: `session = aotrun.load("dist/decoder").session()`.
"""

import torch
from torch import nn

VOCABULARY, WIDTH, HEADS, CONTEXT = 64, 32, 4, 48


class Decoder(nn.Module):
    """One layer of causal attention over all tokens that it has seen."""

    def __init__(self):
        super().__init__()
        self.tokens = nn.Embedding(VOCABULARY, WIDTH)
        self.places = nn.Embedding(CONTEXT, WIDTH)
        self.attention = nn.Linear(WIDTH, 3 * WIDTH)
        self.mix = nn.Linear(WIDTH, WIDTH)
        self.scores = nn.Linear(WIDTH, VOCABULARY)
        self.register_buffer("keys", torch.zeros(CONTEXT, HEADS, WIDTH // HEADS))
        self.register_buffer("values", torch.zeros(CONTEXT, HEADS, WIDTH // HEADS))

    def forward(self, tokens, positions):
        """Scores of what follows each of `tokens`, which stand at `positions`; both of shape (n,)."""
        x = self.tokens(tokens) + self.places(positions)
        query, key, value = self.attention(x).view(-1, 3, HEADS, WIDTH // HEADS).unbind(1)
        self.keys.index_copy_(0, positions, key)
        self.values.index_copy_(0, positions, value)
        weights = torch.einsum("nhd,chd->hnc", query, self.keys) / (WIDTH // HEADS) ** 0.5
        later = torch.arange(CONTEXT) > positions.unsqueeze(1)
        weights = weights.masked_fill(later, float("-inf")).softmax(-1)
        seen = torch.einsum("hnc,chd->nhd", weights, self.values).reshape(-1, WIDTH)
        return self.scores(x + self.mix(seen))


def model():
    """1 to 32 tokens a call."""
    torch.manual_seed(0)
    length = torch.export.Dim("length", min=1, max=32)
    example = (torch.tensor([3, 1, 4, 1, 5]), torch.arange(5))
    return Decoder().eval(), example, ({0: length}, {0: length})
