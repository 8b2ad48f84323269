"""Which models fit the GPUs that a bundle is for."""

from __future__ import annotations

import pytest

from aotpack.building.archs import check_model_archs
from aotpack.errors import ModelMismatchError
from aotpack.package.metadata import ModelMetadata


@pytest.mark.parametrize(
    ("compiled", "chosen"),
    [
        (["sm_90"], ["sm_90"]),
        (["sm_80"], ["sm_86"]),
        (["sm_90a"], ["sm_80", "sm_90"]),
        (["sm_80", "compute_80", "sm_90"], ["sm_90"]),
        (["sm_80", "compute_80"], ["sm_120"]),  # by its PTX
        (["gfx90a:sramecc+"], ["gfx90a"]),
        (["gfx90a"], ["gfx90a:xnack+"]),
        ([], ["sm_90"]),  # a model for the CPU
        (["sm_90"], []),  # nothing chosen, nothing left out
    ],
)
def test_a_model_fits_when_one_gpu_runs_its_code(compiled: list[str], chosen: list[str]) -> None:
    check_model_archs("m", ModelMetadata(gpu_archs=tuple(compiled)), chosen)


@pytest.mark.parametrize(
    ("compiled", "chosen"), [("sm_90", "sm_80"), ("sm_86", "sm_80"), ("compute_90", "sm_80"), ("gfx908", "gfx90a")]
)
def test_a_model_for_other_gpus_is_refused_with_both(compiled: str, chosen: str) -> None:
    with pytest.raises(ModelMismatchError) as caught:
        check_model_archs("m", ModelMetadata(gpu_archs=(compiled,)), [chosen])
    assert compiled in caught.value.what
    assert chosen in caught.value.what
    assert f"aotpack export ... --arch {chosen}" in caught.value.fix
