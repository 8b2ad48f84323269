"""What an export says of a module before anything is compiled: the sizes that vary, or why it is refused."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from aotpack import resources
from aotpack.backend import Backend
from aotpack.building.build import build
from aotpack.building.request import BuildRequest
from aotpack.progress.reporter import Reporter
from tests.support.packages.exporting import SOURCES, cached_export

MODELS = SOURCES / "graph_models.py"


def size(symbol: str, least: int, most: int | None) -> dict[str, Any]:
    return {"symbol": symbol, "min": least, "max": most}


#: Function -> the dims of its inputs.
SERVED = {
    "pool_of_one_dim": [[1, 2, size("length", 8, 99)]],
    "spectrum": [[2, size("length", 8, 400)]],
    "padded_to_four": [[2, size("length", 8, 400)]],
    "by_tensor": [[size("rows", 0, 64), 4]],
    "rest": [[size("n", 0, 9)], [size("m", 0, 9)]],
    "of_any_size": [[size("n", 0, 64), 4], [4, size("m", 0, 64)]],
}
#: Function -> the least size that its first dim is served at, which dynamic_shapes lets be 0, and why not less.
LEAST = {
    "first_row": (1, "a size of 0 of x.shape[0] is not served", "takes [0, 4] for [1, 4] in aten.slice.Tensor"),
    "row_of_some": (1, "a size of 0 of x.shape[0] is not served", "index 0"),
    "two_of_each": (2, "a size of 1 of x.shape[0] is not served", "takes [1, 4] for [2, 4] in aten.slice.Tensor"),
    "attention": (1, "a size of 0 of x.shape[0] is not served", "over no tokens"),
    "attention_to_what_is_not_known": (1, "a size of 0 of x.shape[0] is not served", "over no tokens"),
    "recurrent": (1, "a size of 0 of x.shape[0] is not served", "an LSTM over no rows"),
}
#: Function -> kind of error, what is wrong, and a word of what to do.
REFUSED = {
    "pooled_pyramid": ("model", "torch.export demands h = 2*_h - 1", "h = Dim.DYNAMIC(min=8, max=400)"),
    "of_other_tensors": ("usage", "dynamic_shapes does not fit the inputs", "return the same tensors as inputs"),
    "absent_dim": ("usage", "dynamic_shapes names dim 2 of input x, whose sizes are [3, 4]", "correct dynamic_shapes"),
    "out_of_range": ("usage", "the example input x has size 3 at dim 0, which is not in 4..9", "widen the range"),
    "no_dim": ("usage", "dynamic_shapes is not as torch.export takes it", "one entry for each parameter"),
    "parameter": ("usage", "the module changes its parameter w in a call", 'self.register_buffer("w", ...)'),
    "grows": ("usage", "the module assigns its buffer h anew in a call", "self.h.copy_(...)"),
    "assigned_within": ("usage", "the module assigns its buffer inner.h anew in a call", "self.h.copy_(...)"),
    "returns_old": ("usage", "the module returns its buffer h as it was before", "self.h.clone()"),
    "first_call": ("usage", "the module assigns its buffer h anew in a call", "self.h.copy_(...)"),
    "plain_counter": ("usage", "another result in its second call: the first changes count: 0 -> 1", "in a buffer"),
    "one_memory": ("usage", "the module writes into memory that all and row share", "register one buffer"),
}

#: Function with layers of PT2E's int8 -> in what generated code multiplies: how many rows there are may not be known.
LOW_PRECISION = {
    "few_bytes": ["int8"],
    "one_row_of_bytes": ["int8"],
    "bytes_of_chosen_rows": [],
    "one_product_of_bytes": [],
}


def trace(python: Path, models: Path, functions: Iterable[str]) -> dict[str, Any]:
    """What an export says of each function of a file before it compiles anything."""
    script = Path(__file__).with_name("tracing.py")
    command = [python, script, resources.PACKAGE / "exporting", models, *functions]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


@pytest.fixture(scope="module")
def traced(backend_python: Path) -> dict[str, Any]:
    return trace(backend_python, MODELS, [*SERVED, *LEAST, *REFUSED, *LOW_PRECISION, "by_example", "no_number"])


@pytest.mark.parametrize("function", SERVED)
def test_sizes_that_vary_as_declared(traced: dict[str, Any], function: str) -> None:
    told = traced[function]
    assert (told["dims"], told["guards"], told["notes"]) == (SERVED[function], [], [])


@pytest.mark.parametrize("function", LEAST)
def test_sizes_of_none_and_one_that_the_graph_is_wrong_for(traced: dict[str, Any], function: str) -> None:
    least, what, why = LEAST[function]
    told = traced[function]
    assert told["dims"][0][0]["min"] == least, told
    assert what in told["notes"][0], told
    assert why in told["notes"][0], told


def test_sizes_that_vary_as_other_examples_do(traced: dict[str, Any]) -> None:
    ((rows, columns),) = traced["by_example"]["dims"]
    assert (rows["min"], rows["max"], columns) == (2, None, 4)


@pytest.mark.parametrize("function", REFUSED)
def test_what_is_refused(traced: dict[str, Any], function: str) -> None:
    kind, what, fix = REFUSED[function]
    told = traced[function]
    assert (told["kind"], what in told["what"], fix in told["fix"]) == (kind, True, True), told


@pytest.mark.parametrize("function", LOW_PRECISION)
def test_what_is_multiplied_in_bytes(traced: dict[str, Any], function: str) -> None:
    assert traced[function]["low_precision"] == LOW_PRECISION[function]


def test_an_attribute_that_is_no_number_has_not_changed(traced: dict[str, Any]) -> None:
    assert traced["no_number"]["notes"] == []


@pytest.mark.parametrize("function", ["lengths", "before", "copied_within", "first_row"])
def test_packages_agree_with_eager(backend_venv: Path, function: str) -> None:
    """Compiled and compared, at the least sizes, too, and call after call."""
    assert cached_export(backend_venv, MODELS, function=function).exists()


@pytest.mark.parametrize("function", ["indexed_complex", "indexed_alone"])
def test_complex_values_lie_as_generated_code_expects(backend_venv: Path, tmp_path: Path, function: str) -> None:
    """Compiled and compared with libtorch, and run again with the slim runtime. Inductor's code alone reads them in the
    order of the index."""
    package = cached_export(backend_venv, MODELS, function=function)
    request = BuildRequest(
        backend=Backend.CPU,
        output=tmp_path / "bundle",
        models=(("indexed", package),),
        runtime="slim",
        venv=backend_venv,
    )
    build(request, Reporter())
    command = [tmp_path / "bundle" / "bin" / "aotrun", "check", "--model", "indexed"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "as recorded at export" in done.stdout
