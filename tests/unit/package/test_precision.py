"""What a package says of its layers, for a person."""

from __future__ import annotations

from aotpack.package.metadata import LayerPrecision, precision_lines


def test_one_sentence_a_kind_the_most_common_precision_first() -> None:
    layers = (
        LayerPrecision("linear layer", "float32", 2),
        LayerPrecision("embedding", "float32", 1),
        LayerPrecision("linear layer", "int8", 22),
    )
    assert precision_lines(layers) == ["22 of 24 linear layers int8, 2 float32", "1 of 1 embedding float32"]
    assert precision_lines(()) == []
