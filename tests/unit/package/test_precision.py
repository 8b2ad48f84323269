"""What a package says of its layers, for a person."""

from __future__ import annotations

from aotpack.package.metadata import OF_INT8, LayerPrecision, ModelMetadata, precision_lines


def test_one_sentence_a_kind_the_most_common_precision_first() -> None:
    layers = (
        LayerPrecision("linear layer", "float32", 2),
        LayerPrecision("embedding", "float32", 1),
        LayerPrecision("linear layer", "int8", 22),
    )
    assert precision_lines(layers) == ["22 of 24 linear layers int8, 2 float32", "1 of 1 embedding float32"]
    assert precision_lines(()) == []


def test_a_variant_for_amx_is_nothing_that_layers_of_int8_wait_for() -> None:
    layers = (LayerPrecision("linear layer", "int8", 2),)
    assert ModelMetadata(precision=layers).layer_lines == ["2 of 2 linear layers int8", OF_INT8]
    assert ModelMetadata(precision=layers, device="cuda").layer_lines == ["2 of 2 linear layers int8"]
    floats = (LayerPrecision("linear layer", "int8 weights", 2),)
    assert ModelMetadata(precision=floats).layer_lines == ["2 of 2 linear layers int8 weights"]
