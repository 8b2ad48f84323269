"""Which GPU runs which code: one table for the bridge, for what trims libraries, and for the doctor."""

from __future__ import annotations

import pytest

from aotpack.gpu.fatbin import Arch, Element, Kind, choose, parse_arch
from aotpack.gpu.gfx import keeps, parse_target
from aotpack_doctor.base.gpu_code import runs_cuda, runs_rocm
from tests.support.cases import cases

#: (code, GPU, `native`, `ptx` or `no`)
CASES = cases("gpu_code_cases.inc", "GPU_CODE")

#: For a GPU that is of another maker than the code.
OTHER = Arch(1, 0)


@pytest.mark.parametrize(("code", "gpu", "way"), CASES)
def test_the_doctor(code: str, gpu: str, way: str) -> None:
    if gpu.startswith("gfx"):
        assert runs_rocm(gpu, [code]) is (way == "native")
    else:
        assert (runs_cuda(gpu, [code]) or "no") == way


@pytest.mark.parametrize(
    ("code", "gpu", "way"), [case for case in CASES if "generic" in case[0] and case[1].startswith("gfx")]
)
def test_what_is_kept_of_rocms_data(code: str, gpu: str, way: str) -> None:
    name = code.partition(":")[0]
    assert keeps(f"kernels-{name}.co", [parse_target(gpu)]) is (way == "native")


@pytest.mark.parametrize(("code", "gpu", "way"), [case for case in CASES if "gfx" not in case[0] + case[1]])
def test_what_is_kept_of_a_library(code: str, gpu: str, way: str) -> None:
    """The code stays for a GPU that runs it, and goes where there is other code and the GPU does not."""
    kind = Kind.PTX if code.startswith("compute_") else Kind.CUBIN
    element = Element(0, 100, kind, parse_arch(code.replace("compute_", "sm_")))
    smaller = Element(100, 10, Kind.CUBIN, OTHER)  # what is kept when nothing serves
    kept = choose((element, smaller), (parse_arch(gpu),))
    assert kept == ((element,) if way != "no" else (smaller,))
