"""What the code of plain PyTorch says of its inputs."""

from __future__ import annotations

from aotpack.package.metadata import DynamicDim, TensorSpec
from aotpack.package.plain_inputs import inputs_of

#: As torch 2.13 generates it, without what is of no interest.
CODE = """
    ConstantHandle arg2_1 = ConstantHandle(input_handles[0]);
    int32_t arg2_1_expected_dtype = aoti_torch_dtype_float32();
    if (arg2_1_size[0] < 2) {
    if (arg2_1_size[0] > 64) {
    if (16 != arg2_1_size[1]) {
    ConstantHandle arg3_1 = ConstantHandle(input_handles[1]);
    int32_t arg3_1_expected_dtype = aoti_torch_dtype_int64();
    if (arg3_1_size[0] < 3) {
    int64_t s31 = arg2_1_size[0];
    int64_t s7 = arg3_1_size[0];
    if (check()) { assert_size_stride(arg2_1, {s31, 16L}, {16L, 1L}, "input"); }
    if (check()) { assert_size_stride(arg3_1, {s7, s31, 1L}, {s31, 1L, 5L}, "input"); }
    if (check()) { assert_size_stride(buf0, {s31, 1L}, {1L, 1L}, "torch.ops.aten.mm.default"); }
"""


def test_dtypes_sizes_and_ranges() -> None:
    assert inputs_of(CODE) == (
        # Declared from 0, 1 or 2: torch checks from 2.
        TensorSpec("arg2_1", "float32", (DynamicDim("s31", 1, 64), 16)),
        TensorSpec("arg3_1", "int64", (DynamicDim("s7", 3), DynamicDim("s31", 0), 1)),
    )


def test_what_is_not_understood_is_left_to_torch() -> None:
    for old, new in (
        ("{16L, 1L}", "{1L, 16L}"),  # not in C order
        ("{s31, 16L}, {16L", "{2L*s31, 16L}, {16L"),
        ("{16L, 1L}", "{f(s31), 1L}"),
        ("{16L, 1L}", "{1L}"),
        ("dtype_float32", "dtype_float8"),
        ("input_handles[0]", "input_handles[2]"),
        ("int64_t s7 =", "auto s7 ="),
        (', "input"); }', ", i); }"),
        ("16L, 1L", f"{'9' * 5000}L, 1L"),
        ("{s31, 16L}, {16L", f"{{s31, {1 << 63}L}}, {{{1 << 63}L"),
        ("{16L, 1L}", f"{{16L, {'-' * 100_000}1L}}"),
        ("{16L, 1L}", f"{{16L, 1L{' + 0L' * 100_000}}}"),
    ):
        assert CODE.replace(old, new) != CODE
        assert inputs_of(CODE.replace(old, new)) == (), new


def test_a_model_without_inputs() -> None:
    assert inputs_of("") == ()
