"""Which runtime a bundle gets, and that it follows from the torch that the slim runtime is compiled against."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from aotpack.backend import Backend
from aotpack.environment.search import find_torch
from aotpack.errors import ModelMismatchError
from aotpack.libraries.recipe import load_recipe
from aotpack.package.metadata import ModelMetadata
from aotpack.package.model import ModelInfo
from aotpack.runtime import slim_table
from aotpack.runtime.choice import RuntimeChoice, choose_runtime
from aotpack.runtime.slim_table import Function, Part, table_for
from tests.support.doubles.torch_trees import make_torch_venv

SORT, GROUPED = "aoti_torch_cpu_sort_stable", "aoti_torch_cpu__grouped_mm"


def table_of_headers(folder: Path, text: str) -> Mapping[str, Function]:
    """The table for a torch 2.9.1 whose headers hold `text`."""
    root = make_torch_venv(folder, version="2.9.1+cpu")
    header = root / "include/torch/csrc/inductor/aoti_torch/generated/c_shim_cpu.h"
    header.parent.mkdir()
    header.write_text(text)
    return table_for(find_torch(Backend.CPU, venv=folder))


def choose(
    asked: str, imports: tuple[str, ...], functions: Mapping[str, Function], int4_order: str | None = None
) -> RuntimeChoice:
    model = ModelInfo(
        archive=Path("m.pt2"),
        name="model",
        metadata=ModelMetadata(int4_order=int4_order),
        members=(),
        needed=(),
        shim_symbols=imports,
        imports=imports,
        extern_ops=(),
    )
    return choose_runtime(asked, load_recipe(Backend.CPU), [("m", model)], "x86_64", functions)  # type: ignore[arg-type]


def test_what_the_headers_do_not_declare_is_not_served(tmp_path: Path) -> None:
    functions = table_of_headers(tmp_path, f"AOTI_TORCH_EXPORT AOTITorchError {SORT}(AtenTensorHandle self);")
    assert functions[SORT] == slim_table.table()[SORT]
    assert functions[GROUPED].part is None
    assert functions[GROUPED].note == "younger than torch 2.9.1, which the slim runtime is compiled against"
    # The runtime declares these itself.
    assert functions["torch_exception_get_what"].part is Part.CORE
    assert functions["Sleef_expf8_u10"].part is Part.CORE
    # Nobody serves this one, whatever torch.
    gradient = "aoti_torch_cpu__cdist_backward"
    assert functions[gradient] == slim_table.table()[gradient]


def test_a_model_that_imports_a_younger_function_gets_the_full_runtime(tmp_path: Path) -> None:
    functions = table_of_headers(tmp_path, f"AOTI_TORCH_EXPORT AOTITorchError {SORT}(AtenTensorHandle self);")
    assert choose("auto", (SORT,), functions).runtime == "slim"
    choice = choose("auto", (SORT, GROUPED), functions)
    assert (choice.runtime, choice.reason) == ("full", f"model m imports {GROUPED}")
    with pytest.raises(ModelMismatchError) as caught:
        choose("slim", (SORT, GROUPED), functions)
    assert caught.value.exit_code == 5
    assert caught.value.detail == f"m: {GROUPED} ({functions[GROUPED].note})"


def test_four_bits_in_an_order_that_slim_does_not_read_get_the_full_runtime(tmp_path: Path) -> None:
    functions = table_of_headers(tmp_path, f"AOTI_TORCH_EXPORT AOTITorchError {SORT}(AtenTensorHandle self);")
    assert choose("auto", (SORT,), functions, "AVX512").runtime == "slim"
    choice = choose("auto", (SORT,), functions, "AVX2")
    assert choice.runtime == "full"
    assert choice.reason == "model m has weights of four bits in torch's order for AVX2"
    with pytest.raises(ModelMismatchError, match="in torch's order for AVX2"):
        choose("slim", (SORT,), functions, "AVX2")
