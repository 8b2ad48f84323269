"""Arguments for recurrent layers."""

from __future__ import annotations

from typing import Any

import torch
from slim_harness import Generator, case, differs


def all_but_workspace(_arguments: dict[str, Any], got: list[torch.Tensor], expected: list[torch.Tensor]) -> str | None:
    """The last result is memory that training would need. bfloat16 is rounded at each step, where each likes to."""
    pairs = zip(got[:3], expected[:3], strict=True)
    most = 4 if got[0].dtype == torch.float32 else 16
    return next((problem for a, b in pairs if (problem := differs(a, b, most)) is not None), None)


@case("cpu_mkldnn_rnn_layer", draws=60, check=all_but_workspace)
def lstm(g: Generator) -> dict[str, Any]:
    """One layer of an LSTM, forwards or backwards, with and without biases, in float32 or bfloat16."""
    steps, batch, inputs, hidden = g.choice([1, 5, 12]), g.choice([1, 2, 3]), g.choice([1, 8, 20]), g.choice([1, 4, 16])

    dtype = torch.bfloat16 if g.chance(0.4) else torch.float32

    def numbers(*shape: int) -> torch.Tensor:
        return (torch.randn(shape, generator=g.torch) * 0.5).to(dtype)

    return {
        "input": numbers(steps, batch, inputs),
        "weight0": numbers(4 * hidden, inputs),
        "weight1": numbers(4 * hidden, hidden),
        "weight2": numbers(4 * hidden),
        "weight3": numbers(4 * hidden),
        "hx_": numbers(1, batch, hidden),
        "cx_": numbers(1, batch, hidden),
        "reverse": g.chance(0.5),
        "batch_sizes": [],
        "mode": 2,
        "hidden_size": hidden,
        "num_layers": 1,
        "has_biases": g.chance(0.8),
        "bidirectional": False,
        "batch_first": False,
        "train": False,
    }
