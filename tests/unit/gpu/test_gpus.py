"""GPUs as `--arch` names them."""

from __future__ import annotations

import re

import pytest

from aotpack.backend import Backend
from aotpack.errors import UsageError
from aotpack.exporting.driving import archs_to_compile
from aotpack.gpu.archs import check_archs, in_order, label, serves, unserved
from tests.support.cases import cases


@pytest.mark.parametrize(
    ("backend", "archs"), [("cuda", ["sm_90", "sm_120"]), ("rocm", ["gfx90a", "gfx1100:xnack-"]), ("cpu", [])]
)
def test_gpus_of_the_backend_are_accepted(backend: str, archs: list[str]) -> None:
    check_archs(Backend(backend), archs, meaning="")


@pytest.mark.parametrize(
    ("backend", "arch", "why"),
    [
        ("cuda", "gfx90a", "not a CUDA architecture such as sm_90"),
        ("cuda", "sm_90a", "that is a kind of code; the GPU is sm_90"),
        ("cuda", "90", "not a CUDA architecture"),
        ("cuda", "", "not a CUDA architecture"),
        ("rocm", "sm_90", "not a ROCm architecture such as gfx90a"),
        ("cpu", "sm_90", "cpu has no GPU code to choose from"),
    ],
)
def test_other_words_are_refused_by_name(backend: str, arch: str, why: str) -> None:
    with pytest.raises(UsageError, match=re.escape(f"--arch {arch}: ") + ".*" + re.escape(why)) as caught:
        archs_to_compile([arch], Backend(backend))
    assert "the model's own code is compiled for" in caught.value.meaning
    assert ("leave it out" if backend == "cpu" else "name GPUs such as") in caught.value.fix


def test_an_export_is_for_each_once_and_the_oldest_is_the_first() -> None:
    assert archs_to_compile(["sm_100", "sm_90", "sm_80", "sm_90"], Backend.CUDA) == ("sm_80", "sm_90", "sm_100")
    assert in_order(["gfx1100:xnack-", "gfx942", "gfx90a"]) == ("gfx90a", "gfx942", "gfx1100:xnack-")


@pytest.mark.parametrize(("code", "gpu", "way"), cases("gpu_code_cases.inc", "GPU_CODE"))
def test_which_code_serves(code: str, gpu: str, way: str) -> None:
    assert serves(code, gpu) is (way != "no")


def test_what_no_code_is_for() -> None:
    archs = ("sm_75", "sm_80", "sm_86", "sm_90")
    assert unserved(("sm_80", "sm_86"), archs) == ("sm_75", "sm_90")
    assert unserved(("sm_80", "compute_80"), archs) == ("sm_75",)


def test_labels() -> None:
    assert label(("sm_80", "compute_80", "sm_90")) == "sm_80-sm_90"
    assert label(("compute_80",)) == "compute_80"
    assert label(("gfx90a:xnack+", "gfx942")) == "gfx90a-gfx942"
    assert label(()) == ""
