"""The table of the slim runtime and the verdict on a model's imports."""

from __future__ import annotations

import pytest

from aotpack.runtime import slim_table
from aotpack.runtime.slim_table import Function, Part, judge, parse_table

TEXT = """
[served.core]
"shim/shim_tensor.cpp" = ["aoti_torch_get_sizes"]
[served.threads]
"threads/openmp.cpp" = ["GOMP_parallel"]
[vector]
file = "vector/vecmath.h"
float32 = ["exp_u10", "fmod"]
float64 = ["exp_u10"]
[unserved]
"training" = ["aoti_torch_cpu__cdist_backward"]
"""


def test_symbols_of_a_table() -> None:
    functions = parse_table(TEXT)
    assert functions["GOMP_parallel"] == Function("GOMP_parallel", Part.THREADS, "threads/openmp.cpp")
    assert functions["aoti_torch_cpu__cdist_backward"].part is None
    vector = {name for name in functions if name.startswith("Sleef_")}
    assert vector == {
        "Sleef_expf8_u10",
        "Sleef_expf16_u10",
        "Sleef_fmodf8",
        "Sleef_fmodf16",
        "Sleef_expd4_u10",
        "Sleef_expd8_u10",
    }


def test_a_function_listed_twice_is_refused() -> None:
    with pytest.raises(ValueError, match=r"aoti_torch_get_sizes is listed under shim/shim_tensor\.cpp and training"):
        parse_table(TEXT.replace('"training" = [', '"training" = ["aoti_torch_get_sizes", '))


def test_a_model_that_needs_the_core_alone() -> None:
    verdict = judge(["aoti_torch_get_sizes", "Sleef_expf16_u10", "memcpy"], parse_table(TEXT))
    assert verdict.served
    assert verdict.parts == (Part.CORE,)
    assert verdict.sonames == ("libaot_slim.so",)


def test_openmp_has_a_library_of_its_own() -> None:
    verdict = judge(["aoti_torch_get_sizes", "GOMP_parallel"], parse_table(TEXT))
    assert verdict.served
    assert verdict.sonames == ("libaot_slim.so", "libaomp.so.1")
    assert [each.name for each in judge(["GOMP_task"], parse_table(TEXT)).unserved] == ["GOMP_task"]


def test_every_unserved_symbol_is_named_with_its_reason() -> None:
    cpp = "_ZN2at6native9cpublas6brgemmElllllllbPKN3c108BFloat16ES6_Pfb"
    verdict = judge(["aoti_torch_cpu__cdist_backward", cpp, "aoti_torch_of_the_future"], parse_table(TEXT))
    assert not verdict.served
    reasons = {function.name: function.note for function in verdict.unserved}
    assert reasons["aoti_torch_cpu__cdist_backward"] == "training"
    assert "not a function of the shim" in reasons[cpp]
    assert set(reasons) == {"aoti_torch_cpu__cdist_backward", cpp, "aoti_torch_of_the_future"}


def test_the_table_of_this_installation_names_files_that_exist() -> None:
    files = {function.note for function in slim_table.table().values() if function.part is not None}
    assert files
    assert {file for file in files if not (slim_table.SOURCES / file).is_file()} == set()


def test_every_op_file_is_in_the_table() -> None:
    files = {function.note for function in slim_table.table().values()}
    written = {path.relative_to(slim_table.SOURCES).as_posix() for path in (slim_table.SOURCES / "ops").glob("*/*.cpp")}
    assert written <= files
