"""Kinds of inputs, outputs and modules: each is served, or refused in three lines that say what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from aotpack.errors import AotpackError
from aotpack.exporting.driving import ExportRequest, export
from tests.integration.export.test_graphs import size, trace
from tests.support.packages import export_workers
from tests.support.packages.exporting import SOURCES, Silent, cached_export

MODELS = SOURCES / "odd_models.py"

#: Function -> names of inputs and outputs.
NAMES = {
    "dataclass": ["x", "logits", "hidden.all.0"],
    "without_names": ["x", "logits", "rest.0", "rest.1"],
    "within_bag": ["x", "output0.0", "output0.1", "output1.0"],
    "conjugate": ["x", "output0"],
    "traced_part": ["input", "output0"],
    "subclass": ["x", "output0"],
    "made_in_inference_mode": ["input", "output0"],
    "appended": ["xs.0", "output0"],
    "compiled": ["input", "output0"],
    "parallel": ["input", "output0"],
    "remembers_in_vain": ["x", "output0"],
    "of_floats": ["x", "output0"],
    "holds_what_cannot_be_written": ["x", "output0"],
}
N = size("n", 0, 9)
M = {"of": "m", "factor": 1}
#: Function -> the dims of its inputs.
SIZES = {
    "keywords": [[size("n", 0, 64)], [size("n", 0, 64)]],
    "no_keywords": [[N]],
    "some_named": [[3], [N]],
    "rest_by_position": [[N], [N]],
    "of_a_dataclass": [[N], [3]],
    "by_number": [[N]],
    "less_first": [[{**size("m - 2", 2, 62), **M, "offset": -2}], [size("m", 4, 64)]],
    "less_second": [[{**size("m - 2", 2, 62), **M, "offset": -2}], [size("m", 4, 64)]],
    "less_both": [[{**size("m - 2", 2, 62), **M, "offset": -2}], [{**size("m - 1", 3, 63), **M, "offset": -1}]],
}
#: Function -> what is wrong, and a word of what to do. All of them are the user's to mend.
REFUSED = {
    "nothing": ("the module returns no tensor: output0 is nothing", "return a tensor"),
    "a_set": ("the module returns no tensor: output0 is a set", "a dict of tensors"),
    "a_number": ("the module returns no tensor: output0 is 3", "return a tensor"),
    "quantised": ("output output0 is a tensor of qint8", ".to(torch.float32)"),
    "share_memory": ("the module writes into an input, and the examples x and y share memory", "x.clone()"),
    "unregistered": ("input scores is a Scores", "torch.utils._pytree.register_dataclass(Scores"),
    "of_a_named_tuple": ("an input is a Two, which is registered", "in a tuple or a dict"),
    "bag": ("an input is a Bag, which is registered", "in a tuple or a dict"),
    "user_dict": ("input d is a UserDict", "give dict(...)"),
    "nested_tensor": ("input x is a nested tensor of float32", "convert it"),
    "meta": ("input x has no values: it is a meta tensor", "torch.zeros([3]"),
    "of_no_input": ("dynamic_shapes names 'y', which there is not", "by the names of inputs"),
    "of_one_of_two": ("dynamic_shapes has 1 entries for 2 inputs: x, y", "write None"),
    "of_the_lone_input": ("dynamic_shapes names 0, which there is not", "by the names of inputs"),
    "bare": ("dynamic_shapes is a Dim", "for the first dim of a lone input"),
    "of_a_number": ("dynamic_shapes says of sizes of input k, which is no tensor: it is 2", "write None there"),
    "sparse_weight": ("the module's w is a sparse_csr tensor", ".to_dense()"),
    "builtin": ("the module's forward is a builtin_function_or_method", "def forward(self, x)"),
    "packed": ("the module's 0 is quantised in the way of before torch.export", "torchao"),
    "scripted_part": ("the module's part 0 is a TorchScript module", "put the torch.nn.Module there"),
    "lazy": ("the module's 0.weight and 1 more have no size yet", "call the module once"),
    "on_meta": ("the module's weight and 1 more have no values", "assign=True"),
    "history": ("another result in its second call: the first changes seen: a list of 0 -> a list of 1", "buffer"),
    "within_a_list": ("another result in its second call: the first changes layers: what a list of 1 holds", "buffer"),
    "first_of_many": ("another result in its second call: the first changes k: None -> a tensor of [3]", "buffer"),
    "absent_at_first": ("another result in its second call: the first changes k: nothing -> a tensor", "buffer"),
    "grows": ("the module assigns its buffer h anew in a call", "self.h.copy_(...)"),
    "resized": ("the module assigns its buffer h anew in a call", "self.h.copy_(...)"),
    "other_memory": ("the module assigns its buffer h anew in a call", "self.h.copy_(...)"),
    "of_nobody": ("the module changes a tensor that is neither its own nor an input", "self.register_buffer("),
    "outside": ("another result in its second call with the same inputs", "draw random numbers with torch"),
}


#: Function -> which of its outputs random numbers decide; None where they decide nothing.
DRAWS: dict[str, list[str] | None] = {
    "draws_in_vain": None,
    "draws_in_place": ["output0"],
    "remembers_noise": ["output0"],
}


@pytest.fixture(scope="module")
def traced(backend_python: Path) -> dict[str, Any]:
    others = ["beside_an_object", "part_in_training", "one_row", "one_row_of_any", *DRAWS]
    return trace(backend_python, MODELS, [*NAMES, *SIZES, *REFUSED, *others])


@pytest.mark.parametrize("function", NAMES)
def test_names_of_what_goes_in_and_comes_out(traced: dict[str, Any], function: str) -> None:
    told = traced[function]
    assert (told.get("names"), told.get("notes")) == (NAMES[function], []), told


@pytest.mark.parametrize("function", SIZES)
def test_sizes_of_some_inputs(traced: dict[str, Any], function: str) -> None:
    told = traced[function]
    assert (told.get("dims"), told.get("guards")) == (SIZES[function], []), told


@pytest.mark.parametrize("function", DRAWS)
def test_what_random_numbers_decide(traced: dict[str, Any], function: str) -> None:
    """In the first call, or in one that finds what they left in the module."""
    told, outputs = traced[function], DRAWS[function]
    expected = [
        f"random numbers decide output {name}: it is neither recorded nor compared with eager" for name in outputs or []
    ]
    assert (told.get("draws"), told.get("notes")) == (outputs is not None, expected), told


@pytest.mark.parametrize("function", REFUSED)
def test_what_is_refused(traced: dict[str, Any], function: str) -> None:
    what, fix = REFUSED[function]
    told = traced[function]
    assert (told.get("kind"), what in told.get("what", ""), fix in told.get("fix", "")) == ("usage", True, True), told


@pytest.mark.parametrize("function", ["one_row", "one_row_of_any"])
def test_an_example_that_is_too_small_to_vary(traced: dict[str, Any], function: str) -> None:
    told = traced[function]
    assert told["what"] == "the sizes cannot vary as asked: the example of x has size 1 at dim 0"
    assert told["fix"].startswith("give an example of two or more there")


def test_weights_have_their_own_names_where_inputs_might_be_named_as_they_like(traced: dict[str, Any]) -> None:
    assert traced["no_keywords"]["weights"] == ["h"]


def test_what_is_told(traced: dict[str, Any]) -> None:
    assert traced["beside_an_object"]["notes"] == ["output cache is an object, not a tensor: it is left out"]
    assert traced["part_in_training"]["notes"] == [
        "the module's part 0 stays in training mode, for the module itself is in inference mode"
    ]


def test_a_seed_within_the_module(backend_python: Path, tmp_path: Path) -> None:
    """It is in no graph, so each call of the package would draw other numbers: refused without --verify, too."""
    request = ExportRequest(MODELS, "seeds_itself", tmp_path / "m.pt2", cpu_isa="native")
    with pytest.raises(AotpackError) as caught:
        export(request, backend_python, Silent(), begin=export_workers.forked)
    assert "output output0: largest error" in caught.value.what
    assert "leave torch.manual_seed" in caught.value.fix
    assert not (tmp_path / "m.pt2").exists()


@pytest.mark.parametrize(
    "function", ["dataclass", "appended", "conjugate", "spectrum", "up_to_a_value", "shuffled", "around", "no_tensor"]
)
def test_packages_agree_with_eager(backend_venv: Path, function: str) -> None:
    assert cached_export(backend_venv, MODELS, function=function).exists()
