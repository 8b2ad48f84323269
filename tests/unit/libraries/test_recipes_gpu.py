"""What the GPU recipes say, against the names that the real wheels have."""

from __future__ import annotations

import pytest

from aotpack.backend import Backend
from aotpack.libraries import recipe as recipes
from aotpack.libraries.features import choose, group_that_stubs
from aotpack.libraries.recipe import load_recipe
from aotpack.patterns import matches_any
from aotpack_doctor.reading.rocm import DATA

CUDA = load_recipe(Backend.CUDA)
ROCM = load_recipe(Backend.ROCM)

#: File names in torch 2.13.0+cu130 and in the CUDA 12.8 wheels that a bundle may hold.
CU13 = (
    "libcublas.so.13", "libcublasLt.so.13", "libcudart.so.13", "libcudnn.so.9", "libcudnn_adv.so.9",
    "libcudnn_cnn.so.9", "libcudnn_engines_precompiled.so.9", "libcudnn_engines_runtime_compiled.so.9",
    "libcudnn_graph.so.9",
    "libcudnn_heuristic.so.9", "libcudnn_ops.so.9", "libcufft.so.12", "libcufile.so.0", "libcupti.so.13",
    "libcurand.so.10", "libcusolver.so.12", "libcusparse.so.12", "libcusparseLt.so.0", "libnccl.so.2",
    "libnvJitLink.so.13", "libnvperf_host.so", "libnvrtc-builtins.so.13.0", "libnvrtc.so.13", "libnvshmem_host.so.3",
)  # fmt: skip
CU12 = (
    "libcublas.so.12", "libcublasLt.so.12", "libcudart.so.12", "libcufft.so.11", "libcupti.so.12", "libcusolver.so.11",
    "libcusparse.so.12", "libnvJitLink.so.12", "libnvrtc-builtins.so.12.8", "libnvrtc.so.12",
)  # fmt: skip
TORCH = (
    "libtorch_cpu.so",
    "libtorch_cuda.so",
    "libtorch_cuda_linalg.so",
    "libc10.so",
    "libc10_cuda.so",
    "libgomp.so.1",
)


@pytest.mark.parametrize("name", [*CU13, *CU12])
def test_nvidias_files_are_known_and_never_touched(name: str) -> None:
    assert matches_any(name, CUDA.known_libraries)
    assert not CUDA.may_edit(name)
    assert not CUDA.may_strip(name)
    assert not CUDA.may_trim(name)


@pytest.mark.parametrize("name", TORCH)
def test_torchs_own_files_are_known_and_may_be_made_smaller(name: str) -> None:
    assert matches_any(name, CUDA.known_libraries)
    assert CUDA.may_edit(name)
    assert CUDA.may_strip(name)


def test_the_driver_is_the_machines() -> None:
    assert set(CUDA.host_libraries) == {"libcuda.so.1", "libnvidia-ml.so.1"}
    assert not any(matches_any(name, CUDA.known_libraries) for name in CUDA.host_libraries)


def opened_by(name: str, of: recipes.Recipe, files: tuple[str, ...], group: str | None = None) -> set[str]:
    lines = [line for line in of.dlopen if matches_any(name, (line.loader,)) and line.group in (None, group)]
    return {file for line in lines for file in files if matches_any(file, line.loads)}


@pytest.mark.parametrize(
    ("loader", "files", "group", "expected"),
    [
        ("libtorch_cuda.so", TORCH, "linalg", {"libtorch_cuda_linalg.so"}),
        ("libtorch_cuda.so", TORCH, None, set()),
        ("libnvrtc.so.13", CU13, None, {"libnvrtc-builtins.so.13.0"}),
        ("libnvrtc.so.12", CU12, None, {"libnvrtc-builtins.so.12.8"}),
        ("libcusparse.so.12", CU12, None, {"libnvJitLink.so.12", "libnvrtc.so.12"}),
        ("libcusolver.so.11", CU12, None, {"libnvJitLink.so.12", "libnvrtc.so.12"}),
        ("libcufft.so.12", CU13, None, {"libnvJitLink.so.13", "libnvrtc.so.13"}),
        ("libcublasLt.so.13", CU13, None, {"libnvrtc.so.13"}),
        ("libcupti.so.13", CU13, None, {"libnvperf_host.so"}),
        ("libcudnn.so.9", CU13, None, set()),
        (
            "libcudnn.so.9",
            CU13,
            "cudnn",
            {"libcudnn_graph.so.9", "libcudnn_ops.so.9", "libcudnn_cnn.so.9", "libcudnn_adv.so.9"},
        ),
        (
            "libcudnn_graph.so.9",
            CU13,
            "cudnn",
            {
                "libcudnn_engines_precompiled.so.9",
                "libcudnn_engines_runtime_compiled.so.9",
                "libcudnn_heuristic.so.9",
            },
        ),
    ],
)
def test_what_is_opened_at_run_time(loader: str, files: tuple[str, ...], group: str | None, expected: set[str]) -> None:
    assert opened_by(loader, CUDA, files, group) == expected


@pytest.mark.parametrize(
    ("imports", "expected"),
    [
        # a model whose kernels were all generated
        (["aoti_torch_empty_strided", "cuLaunchKernel", "aoti_torch_cpu_addmm_out"], set()),
        (["aoti_torch_cuda_addmm_out"], {"blas", "jit"}),
        (["aoti_torch_cuda_convolution"], {"cudnn", "blas", "jit"}),
        (["aoti_torch_cuda__cudnn_rnn"], {"cudnn", "blas", "jit"}),
        (["aoti_torch_cuda__fft_r2c"], {"fft", "blas", "jit"}),
        (["aoti_torch_cuda_triangular_solve"], {"linalg", "sparse", "blas", "jit"}),
        (["aten::_linalg_svd"], {"linalg", "sparse", "blas", "jit"}),
        (["aoti_torch_cuda__to_sparse"], {"sparse", "blas", "jit"}),
        (["aoti_torch_cuda__scaled_dot_product_flash_attention"], {"blas", "jit"}),
        (["aoti_torch_cuda__scaled_dot_product_cudnn_attention"], {"cudnn", "blas", "jit"}),
        (["aoti_torch_cpu__c10d_functional_all_reduce"], {"nccl"}),
    ],
)
def test_the_groups_that_a_model_needs(imports: list[str], expected: set[str]) -> None:
    assert choose(CUDA, [imports]).names == expected


def test_a_matrix_product_leaves_seven_libraries_out() -> None:
    on = choose(CUDA, [["aoti_torch_cuda_mm_out"]]).names
    linked = [
        "libcusparse.so.12", "libcufft.so.12", "libcufile.so.0", "libcusparseLt.so.0", "libnccl.so.2",
        "libcurand.so.10", "libcudnn.so.9", "libnvshmem_host.so.3", "libcupti.so.13", "libcublas.so.13",
        "libcublasLt.so.13", "libnvrtc.so.13", "libcudart.so.13",
    ]  # fmt: skip
    stubbed = {name for name in linked if group_that_stubs(CUDA, name, on)}
    assert stubbed == set(linked) - {"libcublas.so.13", "libcublasLt.so.13", "libnvrtc.so.13", "libcudart.so.13"}


def test_every_group_that_another_needs_exists() -> None:
    for group in CUDA.groups.values():
        assert set(group.needs) <= set(CUDA.groups)
    assert {line.group for line in CUDA.dlopen} - {None} <= set(CUDA.groups)


def test_every_library_of_a_group_is_known() -> None:
    for group in CUDA.groups.values():
        for pattern in group.libraries:
            assert matches_any(pattern, CUDA.known_libraries), pattern


def test_drivers_have_a_floor_for_every_cuda_that_torch_was_built_with() -> None:
    floors = {floor.toolkit: floor.minimum for floor in CUDA.driver_floors}
    assert floors["12.8"] == "525.60.13"
    assert floors["13.0"] == "580.65.06"


# ---- ROCm -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("library", "path"),
    [
        ("librocblas.so", "rocblas/library"),
        ("librocblas.so.5", "rocblas/library"),
        ("libhipblaslt.so.1", "hipblaslt/library"),
        ("libhipsparselt.so", "hipsparselt/library"),
        ("libMIOpen.so.1", "../share/miopen/db"),
        ("libaotriton_v2.so.0.11.0", "aotriton.images"),
        ("librccl.so", "../share/rccl/msccl*"),
        ("librocrand.so.1", "../.kpack/*.kpack"),
    ],
)
def test_one_line_of_data_serves_both_layouts(library: str, path: str) -> None:
    assert path in {line.path for line in ROCM.data if matches_any(library, (line.library,))}


def test_rocm_keeps_the_vendors_tree_and_patches_nothing() -> None:
    assert ROCM.layout == "tree"
    assert not ROCM.may_strip("librocblas.so.5")
    assert not ROCM.may_strip("libamdhip64.so")
    assert ROCM.may_strip("libtorch_hip.so")


@pytest.mark.parametrize(
    "name",
    [
        "libamdhip64.so",
        "libamdhip64.so.7",
        "librocm_sysdeps_elf.so.1",
        "libMIOpen.so",
        "libaotriton_v2.so",
        "libdrm.so",
    ],
)
def test_rocms_libraries_are_known_by_either_name(name: str) -> None:
    assert matches_any(name, ROCM.known_libraries)


def test_the_doctor_asks_for_the_data_that_the_recipe_calls_needed() -> None:
    rows = [row for row in load_recipe(Backend.ROCM).data if row.needed]
    assert [(row.library, row.path, row.follows_links) for row in rows] == [tuple(row) for row in DATA]
