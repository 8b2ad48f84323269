"""What `--arch` may say, and which models it fits."""

from __future__ import annotations

import pytest

from aotpack.backend import Backend
from aotpack.building.archs import check_archs, check_model_archs
from aotpack.errors import ModelMismatchError, UsageError
from aotpack.package.metadata import ModelMetadata


@pytest.mark.parametrize(
    ("backend", "archs"), [("cuda", ["sm_90", "sm_120"]), ("rocm", ["gfx90a", "gfx1100:xnack-"]), ("cpu", [])]
)
def test_gpus_of_the_backend_are_accepted(backend: str, archs: list[str]) -> None:
    check_archs(Backend(backend), archs)


@pytest.mark.parametrize(
    ("backend", "arch"), [("cuda", "gfx90a"), ("cuda", "sm_90a"), ("cuda", "90"), ("rocm", "sm_90"), ("cpu", "sm_90")]
)
def test_other_words_are_refused_by_name(backend: str, arch: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_archs(Backend(backend), [arch])
    assert arch in caught.value.what


@pytest.mark.parametrize(
    ("compiled", "chosen"),
    [
        (["sm_90"], ["sm_90"]),
        (["sm_80"], ["sm_86"]),
        (["sm_90a"], ["sm_80", "sm_90"]),
        (["gfx90a:sramecc+"], ["gfx90a"]),
        (["gfx90a"], ["gfx90a:xnack+"]),
        ([], ["sm_90"]),  # a model for the CPU
        (["sm_90"], []),  # nothing chosen, nothing left out
    ],
)
def test_a_model_fits_when_one_gpu_runs_its_code(compiled: list[str], chosen: list[str]) -> None:
    check_model_archs("m", ModelMetadata(gpu_archs=tuple(compiled)), chosen)


@pytest.mark.parametrize(("compiled", "chosen"), [("sm_90", "sm_80"), ("sm_86", "sm_80"), ("gfx908", "gfx90a")])
def test_a_model_for_other_gpus_is_refused_with_both(compiled: str, chosen: str) -> None:
    with pytest.raises(ModelMismatchError) as caught:
        check_model_archs("m", ModelMetadata(gpu_archs=(compiled,)), [chosen])
    assert compiled in caught.value.what
    assert chosen in caught.value.what
