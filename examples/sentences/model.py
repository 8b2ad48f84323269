"""all-MiniLM-L6-v2: tokens of sentences in, 384 numbers for each out that are close for the same meaning.

A BERT of six layers, written out: what travels is what is here. The tokenizer is an asset of the bundle.
"""

import json
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

WEIGHTS = Path(__file__).parent / "weights" / "model.safetensors"
WORDS, POSITIONS, WIDTH, HEADS, INNER, LAYERS = 30_522, 512, 384, 12, 1536, 6


class Layer(nn.Module):
    """Attention, then two linear layers; both add to what came in."""

    def __init__(self):
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(WIDTH, WIDTH) for _ in range(3))
        self.attended = nn.Linear(WIDTH, WIDTH)
        self.attended_norm = nn.LayerNorm(WIDTH, eps=1e-12)
        self.inner = nn.Linear(WIDTH, INNER)
        self.outer = nn.Linear(INNER, WIDTH)
        self.norm = nn.LayerNorm(WIDTH, eps=1e-12)

    def forward(self, x, mask):
        query, key, value = (
            part(x).unflatten(2, (HEADS, -1)).transpose(1, 2) for part in (self.query, self.key, self.value)
        )
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        x = self.attended_norm(x + self.attended(mixed.transpose(1, 2).flatten(2)))
        return self.norm(x + self.outer(functional.gelu(self.inner(x))))


class Sentences(nn.Module):
    """Token ids and their mask (1: a token, 0: filling), both sentences x tokens; embeddings of length 1."""

    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(WORDS, WIDTH)
        self.positions = nn.Embedding(POSITIONS, WIDTH)
        self.kind = nn.Parameter(torch.zeros(WIDTH))
        self.norm = nn.LayerNorm(WIDTH, eps=1e-12)
        self.layers = nn.ModuleList(Layer() for _ in range(LAYERS))

    def forward(self, ids, mask):
        positions = self.positions(torch.arange(ids.shape[1], device=ids.device))
        x = self.norm(self.words(ids) + self.kind + positions)
        shown = mask.to(torch.bool)[:, None, None, :]
        for layer in self.layers:
            x = layer(x, shown)
        weights = mask.to(x.dtype).unsqueeze(2)
        mean = (x * weights).sum(dim=1) / weights.sum(dim=1).clamp_min(1e-9)
        return functional.normalize(mean, dim=1)


#: Names of the published weights -> names here.
NAMES = {
    "attention.self.query": "query",
    "attention.self.key": "key",
    "attention.self.value": "value",
    "attention.output.dense": "attended",
    "attention.output.LayerNorm": "attended_norm",
    "intermediate.dense": "inner",
    "output.dense": "outer",
    "output.LayerNorm": "norm",
}


def published():
    """The tensors of the file, as views of its bytes: a header in JSON with their places, then their elements."""
    content = torch.frombuffer(bytearray(WEIGHTS.read_bytes()), dtype=torch.uint8)
    size = int.from_bytes(bytes(content[:8].tolist()), "little")
    header = json.loads(bytes(content[8 : 8 + size].tolist()))
    tensors = {}
    for name, entry in header.items():
        if entry.get("dtype") == "F32":
            begin, end = (8 + size + place for place in entry["data_offsets"])
            tensors[name] = content[begin:end].clone().view(torch.float32).view(entry["shape"])
    return tensors


def model():
    """Any number of sentences up to 64, of up to 256 tokens."""
    tensors = published()
    state = {
        "words.weight": tensors["embeddings.word_embeddings.weight"],
        "positions.weight": tensors["embeddings.position_embeddings.weight"],
        "kind": tensors["embeddings.token_type_embeddings.weight"][0],
        "norm.weight": tensors["embeddings.LayerNorm.weight"],
        "norm.bias": tensors["embeddings.LayerNorm.bias"],
    }
    for layer in range(LAYERS):
        for theirs, ours in NAMES.items():
            for part in ("weight", "bias"):
                state[f"layers.{layer}.{ours}.{part}"] = tensors[f"encoder.layer.{layer}.{theirs}.{part}"]
    module = Sentences()
    module.load_state_dict(state)
    ids = torch.tensor([[101, 1037, 4937, 25126, 102, 0, 0], [101, 1996, 18401, 18996, 2015, 2651, 102]])
    mask = (ids != 0).to(torch.int64)
    sentences, tokens = torch.export.Dim("sentences", min=1, max=64), torch.export.Dim("tokens", min=1, max=256)
    return module.eval(), (ids, mask), ({0: sentences, 1: tokens},) * 2
