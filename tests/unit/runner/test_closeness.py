"""How far outputs may be from what eager PyTorch gave."""

from aotrun.arrays.closeness import compare, tolerances


def test_behind_layers_of_bytes_a_float_is_as_exact_as_bfloat16() -> None:
    plain = tolerances()
    behind_bytes = tolerances([{"kind": "linear layer", "precision": "int8", "count": 2}])
    assert behind_bytes["float32"] == plain["bfloat16"] > plain["float32"]
    assert tolerances([{"precision": "int8", "count": 18}])["float32"] == 3 * plain["bfloat16"]
    assert compare([1.01, 5.0], [1.0, 5.0], behind_bytes["float32"])[1] is None
    assert compare([1.01, 5.0], [1.0, 5.0], plain["float32"])[1] == 0


def test_what_lies_behind_a_layer_is_no_more_exact_than_it() -> None:
    plain = tolerances()
    behind_halves = tolerances([{"precision": "bfloat16"}, {"precision": "float32"}])
    assert behind_halves["float32"] == behind_halves["float64"] == plain["bfloat16"]
    assert tolerances([{"precision": "float16"}])["float32"] == plain["float16"]
    assert tolerances([{"precision": "float64"}]) == plain
    assert tolerances([{"precision": "float32"}]) == {**plain, "float64": 1e-4, "complex128": 1e-4}


def test_weights_of_bytes_change_nothing_about_it() -> None:
    assert tolerances([{"kind": "linear layer", "precision": "int8 weights", "count": 3}]) == tolerances()


def test_integers_must_be_equal() -> None:
    """A tolerance is named like a type of integers."""
    assert "int8" not in tolerances()
