"""Pruning ROCm's data by whole gfx names."""

from __future__ import annotations

import pytest

from aotpack.gpu.gfx import keeps, mentioned, parse_target


@pytest.mark.parametrize(
    ("path", "target", "expected"),
    [
        # one architecture in a name or a folder
        ("TensileLibrary_gfx90a.dat", "gfx90a", True),
        ("TensileLibrary_gfx908.dat", "gfx90a", False),
        ("gfx942/TensileLibrary_lazy.dat", "gfx90a", False),
        ("gfx942/TensileLibrary_lazy.dat", "gfx942", True),
        ("TensileLibrary_Type_HH_Contraction_l_Ailk_Bjlk_Cijk_Dijk_gfx1100.co", "gfx1100", True),
        ("TensileLibrary_Type_HH_Contraction_l_Ailk_Bjlk_Cijk_Dijk_gfx1100.co", "gfx1101", False),
        # what names none is everybody's
        ("TensileLibrary_Type_SS_Contraction_fallback.dat", "gfx90a", True),
        ("gfx.txt", "gfx90a", True),
        ("hipblasltTransform.hsaco", "gfx1100", True),
        # whole names: gfx110 is not a part of gfx1100
        ("kernel_gfx1030.co", "gfx103a", False),
        ("kernel_gfx10300.co", "gfx1030", True),  # with a number of compute units
        ("notgfx908.co", "gfx90a", True),
        # feature settings
        ("Kernels.so-000-gfx90a-xnack+.hsaco", "gfx90a", True),
        ("Kernels.so-000-gfx90a-xnack-.hsaco", "gfx90a", True),
        ("Kernels.so-000-gfx90a-xnack+.hsaco", "gfx90a:xnack+", True),
        ("Kernels.so-000-gfx90a-xnack-.hsaco", "gfx90a:xnack+", False),
        ("Kernels.so-000-gfx90a.hsaco", "gfx90a:xnack+", True),
        ("Kernels.so-000-gfx90a-sramecc+-xnack-.hsaco", "gfx90a:xnack-", True),
        ("Kernels.so-000-gfx90a-xnack+.hsaco", "gfx908", False),
        # families
        ("amd-gfx11xx/flash/attn_fwd.aks2", "gfx1100", True),
        ("amd-gfx11xx/flash/attn_fwd.aks2", "gfx1201", False),
        ("amd-gfx120x/flash/attn_fwd.aks2", "gfx1201", True),
        ("amd-gfx90a/flash/attn_fwd.aks2", "gfx942", False),
        ("gfx94X-dcgpu/library.kpack", "gfx942", True),
        ("gfx94X-dcgpu/library.kpack", "gfx90a", False),
        ("blas_lib_gfx1100.kpack", "gfx1100", True),
        ("blas_lib_gfx1101.kpack", "gfx1100", False),
        # LLVM's generic targets
        ("code-gfx9-4-generic.co", "gfx942", True),
        ("code-gfx9-4-generic.co", "gfx90a", False),
        ("code-gfx9-generic.co", "gfx90a", False),
        ("code-gfx9-generic.co", "gfx906", True),
        ("code-gfx11-generic.co", "gfx1101", True),
        ("code-gfx11-generic.co", "gfx1201", False),
        ("code-gfx12-generic.co", "gfx1299", True),  # a GPU that we do not know
        # MIOpen: the architecture and the number of compute units, in hexadecimal or after `_` in decimal
        ("gfx942130.HIP.fdb.txt", "gfx942", True),
        ("gfx942130.HIP.fdb.txt", "gfx90a", False),
        ("gfx90a6e.db", "gfx90a", True),
        ("gfx90a68.HIP.fdb.txt", "gfx90a", True),
        ("gfx90878.db", "gfx908", True),
        ("gfx90878.db", "gfx90a", False),
        ("gfx1030_36.HIP.fdb.txt", "gfx1030", True),
        ("gfx906_60.db", "gfx1030", False),
        # a name that cannot be read is kept
        ("TensileLibrary_gfx000.co", "gfx90a", True),
    ],
)
def test_a_file_is_kept_for_its_own_gpu(path: str, target: str, expected: bool) -> None:
    assert keeps(path, [parse_target(target)]) is expected


def test_every_target_is_served() -> None:
    targets = [parse_target("gfx90a"), parse_target("gfx1100")]
    names = ["a_gfx90a.co", "a_gfx1100.co", "a_gfx942.co", "a_fallback.dat"]
    assert [name for name in names if keeps(name, targets)] == ["a_gfx90a.co", "a_gfx1100.co", "a_fallback.dat"]


def test_a_file_for_several_gpus_is_kept_for_any_of_them() -> None:
    assert keeps("both_gfx908_gfx90a.dat", [parse_target("gfx90a")])


def test_without_targets_everything_is_kept() -> None:
    assert keeps("a_gfx90a.co", [])


@pytest.mark.parametrize("text", ["gfx", "90a", "gfx90", "gfx11xx", "gfx1100x", "sm_90", "gfx90a:xnack", "gfx90a+", ""])
def test_only_one_whole_architecture_is_a_target(text: str) -> None:
    with pytest.raises(ValueError, match="gfx90a"):
        parse_target(text)


@pytest.mark.parametrize("text", ["gfx90a", "gfx1100", "gfx90a:xnack+", "gfx90a:sramecc+:xnack-"])
def test_targets_are_written_as_they_are_read(text: str) -> None:
    assert str(parse_target(text)) == text


def test_what_a_tree_has_is_listed_once() -> None:
    paths = [
        "k-gfx90a-xnack+.co",
        "gfx90a6e.db",
        "gfx942130.HIP.fdb.txt",
        "amd-gfx11xx/x",
        "c-gfx9-4-generic.co",
        "x.dat",
    ]
    assert mentioned(paths) == ("gfx90a", "gfx942", "gfx11xx", "gfx9-4-generic")
