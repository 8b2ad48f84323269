"""The bridge's own declarations of CUDA's and HIP's runtime against the vendors' headers. Nothing is linked or run."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.machines.gpu_toolkits import BRIDGE, HIP_PACKAGE, compare_declarations, cuda_home, rocm_path


@pytest.mark.parametrize("backend", ["cuda", "rocm"])
def test_the_declarations_are_the_vendors(backend: str, tmp_path: Path) -> None:
    toolkit = cuda_home() if backend == "cuda" else rocm_path()
    if toolkit is None:
        pytest.skip(f"no headers: install the {backend} toolkit, or {HIP_PACKAGE} on Debian (done by itself as root)")
    header = BRIDGE / "src" / "device" / "gpu_abi.h"
    done = compare_declarations(BRIDGE / "src", toolkit, backend)
    assert done.returncode == 0, done.stderr

    # The control: each declaration that says something else is refused.
    text = header.read_text(encoding="utf-8")
    wrong = {
        "(*set_device)(int device)": "(*set_device)(long device)",
        "(*mem_get_info)(size_t* free, size_t* total)": "(*mem_get_info)(int* free, size_t* total)",
        "kGpuDeviceToHost = 2": "kGpuDeviceToHost = 3",
        "char others[3840]": "char others[8]",
    }
    own = {"kCudaComputeCapabilityMajor = 75": "kCudaComputeCapabilityMajor = 74"} if backend == "cuda" else {}
    for right, changed in {**wrong, **own}.items():
        assert right in text
        (tmp_path / "device").mkdir(exist_ok=True)
        (tmp_path / "device" / header.name).write_text(text.replace(right, changed), encoding="utf-8")
        assert compare_declarations(tmp_path, toolkit, backend).returncode != 0, changed
