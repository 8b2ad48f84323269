"""Which initialisers of torch's libraries a compiled model has no use for."""

from __future__ import annotations

import pytest

from aotpack.elf.initialisers import Unit, is_unused, registration_of


@pytest.mark.parametrize(
    ("symbol", "registration"),
    [
        ("_ZN2at12_GLOBAL__N_1L43TORCH_LIBRARY_IMPL_static_init_aten_Tracer_1E", "aten::Tracer"),
        ("_ZL46TORCH_LIBRARY_IMPL_static_init___Functionalize_1", "_::Functionalize"),
        ("_ZL52TORCH_LIBRARY_IMPL_static_init__quantized_QuantizedCPU_12", "_quantized::QuantizedCPU"),
        ("_ZL43TORCH_LIBRARY_FRAGMENT_static_init_inductor_prims_6", "inductor_prims"),
        ("_ZN2atL30TORCH_LIBRARY_static_init_atenE", "aten"),
        ("_ZL37TORCH_LIBRARY_static_init_mkldnn_prepacked", "mkldnn_prepacked"),
        ("_ZZN3c104initEvE7guarded", None),
    ],
)
def test_a_registration_is_told_by_its_symbol(symbol: str, registration: str | None) -> None:
    assert registration_of(symbol.encode()) == registration


@pytest.mark.parametrize(
    ("unit", "unused"),
    [
        (Unit("VariableType_0.cpp", registers=["aten::Autograd", "aten::AutogradNestedTensor"]), True),
        (Unit("FunctionalizeFallbackKernel.cpp", registers=["_::Functionalize", "aten::Functionalize"]), True),
        # What hands calls of plain tensors on to the kernels below autograd.
        (Unit("VariableFallbackKernel.cpp", registers=["_::AutogradCPU", "_::ADInplaceOrView"]), False),
        (Unit("RegisterCPU_0.cpp", registers=["aten::CPU"]), False),
        (Unit("RegisterSchema.cpp", registers=["aten"]), False),
        # One block that is of use keeps the whole file.
        (Unit("mixed.cpp", registers=["aten::Tracer", "aten::CPU"]), False),
        (Unit("defines.cpp", registers=["aten::Tracer", "aten"]), False),
        # A name on the list does not count for a file that registers kernels.
        (Unit("register_prim_ops.cpp"), True),
        (Unit("register_prim_ops.cpp", registers=["aten::CPU"]), False),
        (Unit("CPUGuardImpl.cpp"), False),
    ],
)
def test_only_what_no_compiled_model_calls_is_unused(unit: Unit, unused: bool) -> None:
    assert is_unused(unit) is unused
