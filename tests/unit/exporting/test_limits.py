"""What was chosen on one GPU, held against others."""

from __future__ import annotations

import pytest

from aotpack.exporting.worker.failure import WorkerError
from aotpack.exporting.worker.gpu.limits import refuse_functions, refuse_large_blocks

CALL = "AOTI_TORCH_ERROR_CODE_CHECK(aoti_torch_cuda__scaled_dot_product_{}_attention(q, k, v));"


@pytest.mark.parametrize("kind", ["flash", "cudnn"])
def test_attention_that_older_gpus_do_not_have(kind: str) -> None:
    refuse_functions(CALL.format(kind), ["sm_80", "sm_90"])
    with pytest.raises(WorkerError, match=f"calls _scaled_dot_product_{kind}_attention, which sm_75 cannot run") as got:
        refuse_functions(CALL.format(kind), ["sm_75", "sm_90"])
    assert got.value.kind == "model"
    assert "leave sm_75 out of --arch" in got.value.fix


def test_attention_that_all_have() -> None:
    refuse_functions(CALL.format("efficient"), ["sm_75"])
    refuse_functions("", ["sm_75"])


def test_blocks_that_are_too_large_elsewhere() -> None:
    kernels = {"small": 99 * 1024, "large": 99 * 1024 + 1}
    refuse_large_blocks(kernels, ["sm_80", "sm_90"])
    with pytest.raises(WorkerError, match=r"the kernel large takes 101,377 bytes .*; sm_86 has 99 KiB") as got:
        refuse_large_blocks(kernels, ["sm_80", "sm_86", "sm_89", "sm_90"])
    assert "leave sm_86, sm_89 out of --arch" in got.value.fix


def test_a_gpu_that_is_not_known_is_not_asked_about() -> None:
    refuse_large_blocks({"large": 1 << 30}, ["sm_199"])
