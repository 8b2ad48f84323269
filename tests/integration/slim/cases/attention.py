"""Arguments for attention."""

from __future__ import annotations

from typing import Any

import torch
from slim_harness import Generator, case


@case("cpu__scaled_dot_product_flash_attention_for_cpu", draws=150, tolerance=8, serves_more=True)
def attention(g: Generator) -> dict[str, Any]:
    """Heads shared or not, masks of numbers and of bools in any broadcastable shape, causal, any scale."""
    dtype = g.choice([torch.float32, torch.float32, torch.bfloat16, torch.float16])
    batch, groups, repeat, size = g.integer(1, 3), g.integer(1, 3), g.choice([1, 1, 2]), g.choice([1, 8, 16, 33])
    queries, keys = g.choice([1, 3, 17, 70, 130]), g.choice([1, 4, 33, 600])
    causal = g.chance(0.3)
    if causal and g.chance(0.7):
        keys = queries
    mask = None
    if not causal and g.chance(0.5):
        shape = (
            [queries, keys] if g.chance(0.3) else [g.choice([1, batch]), g.choice([1, groups * repeat]), queries, keys]
        )
        if g.chance(0.5):
            mask = torch.rand(shape, generator=g.torch) > 0.3
            mask[..., 0] = True
        else:
            mask = g.values(shape, dtype, special=False)
        mask = g.arranged(mask)

    def heads(count: int, length: int) -> torch.Tensor:
        layout = g.choice(["heads first", "tokens first"])
        if layout == "heads first":
            return g.values([batch, count, length, size], dtype, special=False)
        return g.values([batch, length, count, size], dtype, special=False).transpose(1, 2)

    return {
        "query": heads(groups * repeat, queries),
        "key": heads(groups, keys),
        "value": heads(groups, keys),
        "dropout_p": 0.0,
        "is_causal": causal,
        "attn_mask": mask,
        "scale": g.choice([None, 0.3]),
    }
