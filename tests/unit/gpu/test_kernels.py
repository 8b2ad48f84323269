"""What files of kernels have code for."""

from __future__ import annotations

import struct

import pytest

from aotpack.gpu.fatbin import Kind
from aotpack.gpu.kernels import architectures, common
from tests.support.doubles.fatbins import Piece, region

SEVERAL = region(Piece(80, kind=Kind.PTX), Piece(80), Piece(90))


def bundle(*targets: str) -> bytes:
    """As clang-offload-bundler makes one."""
    begin = 32 + sum(24 + len(target) for target in targets)
    entries = b"".join(struct.pack("<QQQ", begin, 4, len(target)) + target.encode() for target in targets)
    return b"__CLANG_OFFLOAD_BUNDLE__" + struct.pack("<Q", len(targets)) + entries + b"code"


AMD = bundle("host-x86_64-unknown-linux-gnu", "hipv4-amdgcn-amd-amdhsa--gfx942", "hipv4-amdgcn-amd-amdhsa--gfx90a")


def test_code_and_ptx() -> None:
    assert architectures("k.fatbin", SEVERAL) == ("sm_80", "compute_80", "sm_90")


def test_bundles_of_amd_s_code() -> None:
    assert architectures("k_multiarch.hsaco", AMD) == ("gfx90a", "gfx942")


def test_a_file_for_one_gpu_does_not_say_which() -> None:
    assert architectures("k.cubin", b"\x7fELF") is None
    assert architectures("k.hsaco", b"\x7fELF") is None


def test_a_model_runs_where_all_of_its_kernels_do() -> None:
    files = [("a.fatbin", SEVERAL), ("b.cubin", b"\x7fELF"), ("c.fatbin", region(Piece(80), Piece(86), Piece(90)))]
    assert common(files) == ("sm_80", "sm_90")
    assert common(files[1:2]) == ()
    assert common([]) == ()


@pytest.mark.parametrize("size", [*range(24, 32), 40, 80, len(AMD) - 1])
def test_half_a_bundle(size: int) -> None:
    with pytest.raises(ValueError, match="bundle of GPU code"):
        architectures("k.hsaco", AMD[:size])


def test_a_bundle_whose_entries_lie_elsewhere() -> None:
    far = AMD.replace(struct.pack("<QQ", AMD.index(b"code"), 4), struct.pack("<QQ", 1 << 62, 4))
    with pytest.raises(ValueError, match="leaves its file"):
        architectures("k.hsaco", far)
