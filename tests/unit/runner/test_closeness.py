"""How far outputs may be from what eager PyTorch gave."""

from aotrun.arrays.closeness import compare, tolerances


def test_behind_layers_of_bytes_a_float_is_as_exact_as_bfloat16() -> None:
    plain = tolerances()
    behind_bytes = tolerances([{"kind": "linear layer", "precision": "int8", "count": 3}])
    assert behind_bytes["float32"] == plain["bfloat16"] > plain["float32"]
    assert compare([1.01, 5.0], [1.0, 5.0], behind_bytes["float32"])[1] is None
    assert compare([1.01, 5.0], [1.0, 5.0], plain["float32"])[1] == 0


def test_weights_of_bytes_change_nothing_about_it() -> None:
    assert tolerances([{"kind": "linear layer", "precision": "int8 weights", "count": 3}]) == tolerances()


def test_integers_must_be_equal() -> None:
    """A tolerance is named like a type of integers."""
    assert "int8" not in tolerances()
