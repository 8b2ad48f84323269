"""Every finding of the doctor, produced by breaking one thing of a healthy machine, and absent from the healthy one."""

from __future__ import annotations

import errno
import itertools
import json
import mmap
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from aotpack.bundle import manifest
from aotpack.package.metadata import LayerPrecision, ModelMetadata, Variant
from aotpack.tools import programs as programs_of_aotpack
from aotpack.tools import sandbox
from aotpack.verifying import static
from aotpack_doctor.base import elf, hashing
from aotpack_doctor.base.places import DESCRIPTION
from aotpack_doctor.findings import catalog
from aotpack_doctor.findings.explain import explain
from aotpack_doctor.findings.finding import Severity
from aotpack_doctor.reading import host
from tests.fuzz.bridge_corpus import descriptor
from tests.support.doubles.doctor_machine import (
    MODEL,
    SHIM,
    Machine,
    compile_one,
    fatbin_source,
    make_machine,
    write_package,
)
from tests.support.doubles.elf import Double
from tests.support.doubles.torch_trees import make_libtorch, make_torch_venv
from tests.support.machines import isolation

#: Of a library: variables that every thread has from its start.
EARLY = """
__thread char early[SIZE] __attribute__((tls_model("initial-exec")));
char* place(void) { return early; }
"""

Break = Callable[[Machine, pytest.MonkeyPatch], "dict[str, Any] | None"]


@dataclass(frozen=True)
class Condition:
    """How to produce a finding: on a healthy machine of `backend`, `make` breaks something and says how to look."""

    code: str
    backend: str
    make: Break
    #: Further codes that follow from the same cause.
    others: frozenset[str]
    severity: Severity | None


CONDITIONS: list[Condition] = []


def condition(
    code: str, backend: str = "cpu", *, others: tuple[str, ...] = (), severity: Severity | None = None
) -> Callable[[Break], Break]:
    def register(make: Break) -> Break:
        CONDITIONS.append(Condition(code, backend, make, frozenset(others), severity))
        return make

    return register


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Machine]:
    return {backend: make_machine(tmp_path_factory.mktemp(backend), backend) for backend in ("cpu", "cuda", "rocm")}


NUMBERS = itertools.count()


@pytest.fixture
def machine(healthy: dict[str, Machine], tmp_path: Path) -> Callable[[str], Machine]:
    """A copy that may be broken."""

    def copy(backend: str) -> Machine:
        # The loader takes a library for one that it has loaded from the same path, and pytest may give a folder's name
        # again.
        folder = tmp_path / f"machine-{next(NUMBERS)}"
        shutil.copytree(healthy[backend].folder, folder, symlinks=True)
        return Machine(folder, backend)

    return copy


@pytest.mark.parametrize("backend", ["cpu", "cuda", "rocm"])
@pytest.mark.parametrize("bundle", [True, False])
def test_a_healthy_machine_has_no_findings(healthy: dict[str, Machine], backend: str, bundle: bool) -> None:
    assert healthy[backend].findings(bundle=bundle) == []


def cases() -> list[Any]:
    return [pytest.param(each, id=f"{each.code}-{each.make.__name__}") for each in CONDITIONS]


def test_every_finding_has_a_condition() -> None:
    assert {each.code for each in CONDITIONS} == set(catalog.kinds()) - SAID


#: What no check finds: it is said of the doctor itself, by a process that ended, or with --key (test_signatures).
SAID = {"AP190", "AP191", "AP516", "AP610", "AP611"}


# ---- AP1xx: the build machine ----------------------------------------------------------------------------------


def program(folder: Path, name: str, output: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\necho '{output}'\n")
    (folder / name).chmod(0o755)


def only_these_tools(machine: Machine, patch: pytest.MonkeyPatch, **programs: str) -> None:
    """A PATH, and an environment of aotpack's, with nothing but these programs."""
    tools = machine.folder / "tools"
    tools.mkdir()
    everything = {
        "c++": "c++ (Debian 12.2.0-14) 12.2.0",
        "cc": "cc (Debian 12.2.0-14) 12.2.0",
        "cmake": "cmake version 3.31.2",
        "ninja": "1.12.1",
        "patchelf": "patchelf 0.18.0",
        "strip": "GNU strip 2.40",
    }
    for name, output in {**everything, **programs}.items():
        if output:
            program(tools, name, output)
    for name in ("bwrap", "unshare"):
        if path := shutil.which(name):
            (tools / name).symlink_to(path)
    for name in ("true", "mount", "sh"):
        (tools / name).symlink_to(str(shutil.which(name)))
    patch.setenv("PATH", str(tools))
    for variable in ("CC", "CXX"):
        patch.delenv(variable, raising=False)
    environment = machine.folder / "environment" / "bin"
    patch.setattr(sys, "executable", str(environment / "python3"))
    patch.setattr(programs_of_aotpack, "_folders", lambda _name: iter([environment]))


@condition("AP101")
def no_compiler(machine: Machine, patch: pytest.MonkeyPatch) -> None:
    only_these_tools(machine, patch, **{"c++": ""})


@condition("AP101")
def no_c_compiler(machine: Machine, patch: pytest.MonkeyPatch) -> None:
    only_these_tools(machine, patch, cc="")


@condition("AP102")
def gcc_of_debian_10(machine: Machine, patch: pytest.MonkeyPatch) -> None:
    only_these_tools(machine, patch, **{"c++": "c++ (Debian 8.3.0-6) 8.3.0"})


@condition("AP102")
def gcc_9_with_headers_in_cpp20(machine: Machine, patch: pytest.MonkeyPatch) -> None:
    driver = machine.torch / "_inductor/cpp_builder.py"
    driver.parent.mkdir()
    driver.write_text('def _get_cpp_std_cflag(std_num: str = "c++20") -> list[str]:\n')
    only_these_tools(machine, patch, **{"c++": "c++ (Ubuntu 9.4.0-1ubuntu1~20.04.2) 9.4.0"})


@condition("AP103")
def no_ninja(machine: Machine, patch: pytest.MonkeyPatch) -> None:
    only_these_tools(machine, patch, ninja="")


@condition("AP103")
def cmake_of_debian_10(machine: Machine, patch: pytest.MonkeyPatch) -> None:
    only_these_tools(machine, patch, cmake="cmake version 3.13.4")


@condition("AP104")
def no_patchelf(machine: Machine, patch: pytest.MonkeyPatch) -> None:
    only_these_tools(machine, patch, patchelf="")


@condition("AP105")
def no_strip(machine: Machine, patch: pytest.MonkeyPatch) -> None:
    only_these_tools(machine, patch, strip="")


@condition("AP106")
def a_torch_that_is_larger_than_the_disk(machine: Machine, patch: pytest.MonkeyPatch) -> None:
    free = shutil.disk_usage(machine.project).free
    os.truncate(machine.torch / "lib/libtorch_cpu.so", free + (1 << 30))  # sparse: it takes no space itself


@condition("AP107", severity=Severity.INFO)
def neither_bubblewrap_nor_namespaces(machine: Machine, patch: pytest.MonkeyPatch) -> None:
    only_these_tools(machine, patch)
    for name in ("bwrap", "unshare"):
        (machine.folder / "tools" / name).unlink(missing_ok=True)
    sandbox.find_sandbox.cache_clear()


# ---- AP2xx: torch ----------------------------------------------------------------------------------------------


@condition("AP201")
def no_environment(machine: Machine, patch: pytest.MonkeyPatch) -> dict[str, Any]:
    shutil.rmtree(machine.venv)
    return {"bundle": False}


@condition("AP201", severity=Severity.INFO)
def no_environment_beside_a_bundle_that_needs_none(machine: Machine, patch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(machine.venv)


@condition("AP202", "cuda")
def a_cpu_torch_for_cuda(machine: Machine, patch: pytest.MonkeyPatch) -> dict[str, Any]:
    shutil.rmtree(machine.venv)
    make_torch_venv(machine.venv)
    return {"bundle": False}


@condition("AP202", "cuda")
def a_rocm_torch_for_cuda(machine: Machine, patch: pytest.MonkeyPatch) -> dict[str, Any]:
    shutil.rmtree(machine.venv)
    make_torch_venv(machine.venv, "rocm", "2.9.1+rocm7.0", hip="7.0")
    return {"bundle": False}


@condition("AP203")
def version_py_is_gone(machine: Machine, patch: pytest.MonkeyPatch) -> dict[str, Any]:
    (machine.torch / "version.py").unlink()
    return {"bundle": False}


@condition("AP203")
def a_library_of_torch_is_gone(machine: Machine, patch: pytest.MonkeyPatch) -> dict[str, Any]:
    (machine.torch / "lib/libc10.so").unlink()
    return {"bundle": False}


@condition("AP204")
def an_old_torch(machine: Machine, patch: pytest.MonkeyPatch) -> dict[str, Any]:
    shutil.rmtree(machine.venv)
    make_torch_venv(machine.venv, "cpu", "2.8.0+cpu")
    return {"bundle": False}


@condition("AP205")
def another_environment_is_active(machine: Machine, patch: pytest.MonkeyPatch) -> None:
    make_torch_venv(machine.project / "other", "cpu", "2.12.0+cpu")
    machine.env["VIRTUAL_ENV"] = str(machine.project / "other")


@condition("AP206")
def conda_with_a_torch_in_the_user_site(machine: Machine, patch: pytest.MonkeyPatch) -> None:
    conda = machine.project / "conda"
    machine.venv.rename(conda)
    (conda / "pyvenv.cfg").unlink()  # a conda environment sees the user site
    make_torch_venv(machine.project / "home/.local", "cpu", "2.10.0+cpu")
    machine.env |= {"CONDA_PREFIX": str(conda), "HOME": str(machine.project / "home")}


@condition("AP207")
def a_required_package_is_missing(machine: Machine, patch: pytest.MonkeyPatch) -> None:
    require(machine, "nvidia-cublas-cu12==12.8.4.1")


@condition("AP208", severity=Severity.WARNING)
def a_required_package_has_another_version(machine: Machine, patch: pytest.MonkeyPatch) -> None:
    require(machine, "nvidia-cublas-cu12==12.8.4.1")
    info = machine.torch.parent / "nvidia_cublas_cu12-12.6.4.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: nvidia-cublas-cu12\nVersion: 12.6.4.1\n")


def require(machine: Machine, requirement: str) -> None:
    metadata = next(machine.torch.parent.glob("torch-*.dist-info/METADATA"))
    metadata.write_text(metadata.read_text() + f'Requires-Dist: {requirement}; platform_system == "Linux"\n')


@condition("AP209")
def declared_abi_is_not_that_of_libtorch(machine: Machine, patch: pytest.MonkeyPatch) -> None:
    libtorch = make_libtorch(machine.project / "libtorch", "cpu", "2.13.0+cpu", abi="1")
    machine.env |= {"LIBTORCH": str(libtorch), "LIBTORCH_CXX11_ABI": "0"}


@condition("AP210")
def torch_without_headers(machine: Machine, patch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(machine.torch / "include")


# ---- AP3xx: toolkits, drivers, GPUs ----------------------------------------------------------------------------


@condition("AP301", "cuda", severity=Severity.WARNING)
def a_toolkit_of_another_major_version(machine: Machine, patch: pytest.MonkeyPatch) -> None:
    machine.write("usr/local/cuda/version.json", '{"cuda": {"name": "CUDA SDK", "version": "13.0.2"}}')


@condition("AP302", "cuda", severity=Severity.INFO)
def a_newer_toolkit_of_the_same_major_version(machine: Machine, patch: pytest.MonkeyPatch) -> None:
    machine.write("home/cuda/version.json", '{"cuda": {"name": "CUDA SDK", "version": "12.9.0"}}')
    machine.env["CUDA_HOME"] = str(machine.root / "home/cuda")


@condition("AP310", "cuda")
def no_nvidia_driver(machine: Machine, patch: pytest.MonkeyPatch) -> None:
    remove_nvidia_driver(machine)


@condition("AP310", "cuda", severity=Severity.WARNING)
def no_nvidia_driver_to_build_with(machine: Machine, patch: pytest.MonkeyPatch) -> dict[str, Any]:
    remove_nvidia_driver(machine)
    return {"bundle": False}


def remove_nvidia_driver(machine: Machine) -> None:
    shutil.rmtree(machine.root / "sys/module/nvidia")
    shutil.rmtree(machine.root / "dev")
    (machine.folder / "libnvidia-ml.so.1").unlink()


@condition("AP310", "cuda")
def a_management_library_without_its_functions(machine: Machine, patch: pytest.MonkeyPatch) -> None:
    remove_nvidia_driver(machine)
    compile_one(machine.folder, Double("libnvidia-ml.so.1", "int nothing;\n"), machine.scratch)


@condition("AP311", "cuda")
def a_driver_below_the_minor_version_floor(machine: Machine, patch: pytest.MonkeyPatch) -> None:
    machine.nvml(driver="470.256.02")


@condition("AP312", "cuda", severity=Severity.INFO)
def a_driver_between_the_floors(machine: Machine, patch: pytest.MonkeyPatch) -> dict[str, Any]:
    machine.nvml(driver="535.183.01")
    return {"bundle": False}


@condition("AP313", "cuda", severity=Severity.WARNING)
def a_gpu_older_than_torchs_code(machine: Machine, patch: pytest.MonkeyPatch) -> dict[str, Any]:
    machine.nvml(capability=(6, 1))
    return {"bundle": False}


@condition("AP314", "cuda")
def a_gpu_newer_than_torchs_machine_code(machine: Machine, patch: pytest.MonkeyPatch) -> dict[str, Any]:
    machine.nvml(capability=(12, 0))
    return {"bundle": False}


@condition("AP313", "cuda", severity=Severity.WARNING)
def a_newer_gpu_and_no_ptx(machine: Machine, patch: pytest.MonkeyPatch) -> dict[str, Any]:
    machine.nvml(capability=(12, 0))
    compile_one(machine.torch, Double("lib/libtorch_cuda.so", fatbin_source((2, 80), (2, 90))), machine.scratch)
    return {"bundle": False}


@condition("AP315", "cuda")
def a_container_without_gpus(machine: Machine, patch: pytest.MonkeyPatch) -> None:
    (machine.root / "dev/nvidia0").unlink()
    (machine.folder / "libnvidia-ml.so.1").unlink()
    machine.write(".dockerenv", "")


@condition("AP315", "cuda")
def a_container_that_leaves_no_file(machine: Machine, patch: pytest.MonkeyPatch) -> None:
    (machine.root / "dev/nvidia0").unlink()
    machine.nvml(gpus=0)
    machine.write("proc/self/mounts", "overlay / overlay rw,relatime 0 0\n")


@condition("AP316", "cuda", severity=Severity.WARNING)
def the_stub_of_libcuda_comes_first(machine: Machine, patch: pytest.MonkeyPatch) -> None:
    stub = machine.write("usr/local/cuda/lib64/stubs/libcuda.so.1", "")
    machine.env["LD_LIBRARY_PATH"] = str(stub.parent)


@condition("AP316", "cuda")
def the_stub_of_libcuda_comes_first_for_torch(machine: Machine, patch: pytest.MonkeyPatch) -> dict[str, Any]:
    the_stub_of_libcuda_comes_first(machine, patch)
    return {"bundle": False}


@condition("AP317")
def cuda_and_rocm_on_one_library_path(machine: Machine, patch: pytest.MonkeyPatch) -> None:
    cuda = machine.write("usr/local/cuda/lib64/libcudart.so.12", "")
    rocm = machine.write("opt/rocm/lib/libamdhip64.so.7", "")
    machine.env["LD_LIBRARY_PATH"] = f"{cuda.parent}:{rocm.parent}"


@condition("AP318", "cuda")
def driver_library_and_module_do_not_match(machine: Machine, patch: pytest.MonkeyPatch) -> None:
    machine.nvml(status=18)


@condition("AP319", "cuda", others=("AP507",))
def a_cuda_library_of_another_major_version(machine: Machine, patch: pytest.MonkeyPatch) -> None:
    compile_one(machine.folder / "elsewhere", Double("libcudart.so.12", "int cudart;\n"), machine.scratch)
    machine.library("lib/libhelper.so", needed=("libcudart.so.12",), runpath="$ORIGIN")
    machine.seal()


@condition("AP320", "cuda")
def nvidia_nodes_of_somebody_else(machine: Machine, patch: pytest.MonkeyPatch) -> dict[str, Any]:
    (machine.root / "dev/nvidia0").chmod(0o600)
    return {"as_nobody": True}


@condition("AP320", "cuda")
def a_driver_that_does_not_answer(machine: Machine, patch: pytest.MonkeyPatch) -> None:
    machine.nvml(status=999)


@condition("AP320", "cuda", severity=Severity.WARNING)
def a_driver_that_finds_no_gpu(machine: Machine, patch: pytest.MonkeyPatch) -> dict[str, Any]:
    machine.nvml(gpus=0)
    return {"bundle": False}


@condition("AP321", "cuda")
def an_empty_list_of_gpus(machine: Machine, patch: pytest.MonkeyPatch) -> None:
    machine.env["CUDA_VISIBLE_DEVICES"] = ""


@condition("AP321", "cuda")
def a_list_of_gpus_that_starts_beyond_the_last(machine: Machine, patch: pytest.MonkeyPatch) -> None:
    machine.env["CUDA_VISIBLE_DEVICES"] = "1,0"


@condition("AP321", "rocm")
def no_amd_gpu_is_listed(machine: Machine, patch: pytest.MonkeyPatch) -> None:
    machine.env["HIP_VISIBLE_DEVICES"] = "-1"


@condition("AP330", "rocm")
def amdgpu_is_not_loaded(machine: Machine, patch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(machine.root / "sys")
    shutil.rmtree(machine.root / "dev")


@condition("AP330", "rocm")
def a_container_without_kfd(machine: Machine, patch: pytest.MonkeyPatch) -> None:
    (machine.root / "dev/kfd").unlink()


@condition("AP331", "rocm")
def not_in_the_render_group(machine: Machine, patch: pytest.MonkeyPatch) -> dict[str, Any]:
    for node in ("dev/kfd", "dev/dri/renderD128"):
        (machine.root / node).chmod(0o600)
    return {"as_nobody": True}


@condition("AP332", "rocm", severity=Severity.WARNING)
def a_gpu_that_torch_has_no_code_for(machine: Machine, patch: pytest.MonkeyPatch) -> dict[str, Any]:
    machine.write("sys/class/kfd/kfd/topology/nodes/1/properties", "simd_count 64\ngfx_target_version 100306\n")
    return {"bundle": False}


@condition("AP333", "rocm")
def a_gpu_is_taken_for_another(machine: Machine, patch: pytest.MonkeyPatch) -> None:
    machine.env["HSA_OVERRIDE_GFX_VERSION"] = "10.3.0"


@condition("AP334", "rocm", others=("AP607",), severity=Severity.WARNING)
def system_rocm_on_the_library_path(machine: Machine, patch: pytest.MonkeyPatch) -> None:
    machine.env["LD_LIBRARY_PATH"] = str(machine.write("opt/rocm/lib/libamdhip64.so", "").parent)


@condition("AP334", "rocm")
def system_rocm_instead_of_torchs(machine: Machine, patch: pytest.MonkeyPatch) -> dict[str, Any]:
    machine.env["LD_LIBRARY_PATH"] = str(machine.write("opt/rocm/lib/libamdhip64.so", "").parent)
    return {"bundle": False}


@condition("AP335", "rocm", others=("AP502",))
def tensile_data_is_gone(machine: Machine, patch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(machine.bundle / "lib/rocblas")


@condition("AP335", "rocm")
def miopen_has_no_database(machine: Machine, patch: pytest.MonkeyPatch) -> dict[str, Any]:
    (machine.torch / "lib/libMIOpen.so").touch()
    return {"bundle": False}


@condition("AP335", "rocm")
def rocblas_was_renamed(machine: Machine, patch: pytest.MonkeyPatch) -> dict[str, Any]:
    (machine.torch / "lib/librocblas.so").rename(machine.torch / "lib/librocblas-1a2b3c4d.so")
    return {"bundle": False}


@condition("AP336", "rocm", others=("AP505",))
def a_library_is_linked_without_its_data(machine: Machine, patch: pytest.MonkeyPatch) -> None:
    lib = machine.bundle / "lib"
    shutil.rmtree(lib / "rocblas")
    (lib / "librocblas.so").unlink()
    (lib / "librocblas.so").symlink_to(machine.torch / "lib/librocblas.so")
    machine.seal()


@condition("AP337", "rocm")
def two_copies_of_the_hip_runtime(machine: Machine, patch: pytest.MonkeyPatch) -> None:
    lib = machine.bundle / "lib"
    (lib / "libamdhip64.so.7").unlink()
    shutil.copy2(lib / "libamdhip64.so", lib / "libamdhip64.so.7")
    machine.seal()


# ---- AP4xx: models ---------------------------------------------------------------------------------------------


def package(machine: Machine, source: str = MODEL, device: str | None = None, **changes: Any) -> dict[str, Any]:
    """A package, and how to look at it without the bundle. `torch_version=None` makes it one of plain PyTorch."""
    library = compile_one(machine.folder / "model", Double("model.so", source), machine.scratch)
    device = device or machine.backend
    own = ModelMetadata(device=device, aotpack_version="0.1.0", torch_version="2.13.0", **changes) if changes else None
    return {"bundle": False, "models": (write_package(machine.folder / "m.pt2", library, device=device, own=own),)}


@condition("AP401")
def a_package_that_is_no_zip(machine: Machine, patch: pytest.MonkeyPatch) -> dict[str, Any]:
    (machine.folder / "m.pt2").write_text("not a zip")
    return {"models": (machine.folder / "m.pt2",)}


@condition("AP402")
def a_model_of_a_newer_torch(machine: Machine, patch: pytest.MonkeyPatch) -> None:
    machine.seal(model={"torch_version": "2.14.0+cpu"})


@condition("AP403", others=("AP514", "AP604"))
def a_model_for_another_machine(machine: Machine, patch: pytest.MonkeyPatch) -> None:
    machine.seal(built_on=AARCH64)


AARCH64 = manifest.BuildHost(system="Debian 12", machine="aarch64", glibc="2.36", compiler="gcc 12", python=None)


@condition("AP404", others=("AP603",))
def a_model_for_a_newer_cpu(machine: Machine, patch: pytest.MonkeyPatch) -> None:
    features = ("avx2", "avx512f")
    machine.seal(model={"cpu_features": features}, floors={"cpu_features": features})


@condition("AP404", severity=Severity.WARNING)
def a_package_for_a_newer_cpu(machine: Machine, patch: pytest.MonkeyPatch) -> dict[str, Any]:
    return package(machine, cpu_features=("avx512_vnni",))


@condition("AP405")
def a_cuda_model_for_a_cpu_bundle(machine: Machine, patch: pytest.MonkeyPatch) -> dict[str, Any]:
    return package(machine, device="cuda", gpu_archs=("sm_90",))


@condition("AP406", "cuda")
def a_model_for_another_gpu(machine: Machine, patch: pytest.MonkeyPatch) -> None:
    machine.seal(model={"gpu_archs": ("sm_80a",)})


@condition("AP406", "rocm")
def a_model_for_another_amd_gpu(machine: Machine, patch: pytest.MonkeyPatch) -> None:
    machine.seal(model={"gpu_archs": ("gfx1100",)})


def extern_kernels(machine: Machine, target: str) -> None:
    nodes = machine.bundle / "models/mlp/extern_kernel_nodes.json"
    nodes.write_text(msgspec.json.encode({"nodes": [{"name": "buf0", "node": {"target": target}}]}).decode())
    machine.seal()


@condition("AP407", severity=Severity.INFO)
def an_operator_without_a_c_interface(machine: Machine, patch: pytest.MonkeyPatch) -> None:
    extern_kernels(machine, "aten::segment_reduce")


@condition("AP408")
def an_operator_of_another_library(machine: Machine, patch: pytest.MonkeyPatch) -> None:
    extern_kernels(machine, "torchvision::nms")


@condition("AP409", severity=Severity.INFO)
def a_package_of_plain_pytorch(machine: Machine, patch: pytest.MonkeyPatch) -> dict[str, Any]:
    return package(machine)


@condition("AP410", others=("AP601",))
def an_older_glibc_than_the_models(machine: Machine, patch: pytest.MonkeyPatch) -> None:
    machine.write(
        "lib/x86_64-linux-gnu/libc.so.6", "GNU C Library (Debian GLIBC 2.31-13) stable release version 2.31.\n"
    )


@condition("AP411")
def a_model_that_calls_what_the_runtime_lacks(machine: Machine, patch: pytest.MonkeyPatch) -> None:
    source = MODEL.replace("aoti_torch_delete_tensor_object", "aoti_torch_cpu_of_tomorrow")
    machine.library("models/mlp/model.so", source, needed=("libtorch_cpu.so",), runpath="$ORIGIN/../../lib")
    machine.seal()


@condition("AP412", "cuda")
def a_model_larger_than_the_gpus_memory(machine: Machine, patch: pytest.MonkeyPatch) -> None:
    machine.nvml(memory=1000)


# ---- AP5xx: the bundle -----------------------------------------------------------------------------------------


@condition("AP501")
def one_flipped_byte(machine: Machine, patch: pytest.MonkeyPatch) -> None:
    path = machine.bundle / "models/mlp/model.json"
    path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:])


@condition("AP501")
def one_flipped_byte_of_a_large_file(machine: Machine, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(hashing, "PIECE", 4096)
    machine.seal()
    path = machine.bundle / "lib/libaot_bridge.so"
    content = bytearray(path.read_bytes())
    content[5000] ^= 1
    path.write_bytes(content)
    bundle = manifest.load_bundle(machine.bundle)
    (told,) = [problem.what for problem in static.check_static(machine.bundle).problems if "content" in problem.what]
    assert "of bytes 4096 to 8191" in told
    # A vendor's file is held against the vendor's hash, which is one of all of it.
    files = [msgspec.structs.replace(each, wheel_sha256=each.sha256) for each in bundle.files]
    machine.seal(files=tuple(files))
    (told,) = [problem.what for problem in static.check_static(machine.bundle).problems if "content" in problem.what]
    assert "of bytes" not in told
    machine.seal(files=bundle.files)
    assert any("of bytes 4096 to 8191" in finding.seen for finding in machine.findings())


@condition("AP501")
def a_truncated_library(machine: Machine, patch: pytest.MonkeyPatch) -> None:
    os.truncate(machine.bundle / "lib/libaot_bridge.so", 5000)


@condition("AP501")
def a_pipe_in_place_of_a_file(machine: Machine, patch: pytest.MonkeyPatch) -> None:
    (machine.bundle / "models/mlp/model.json").unlink()
    os.mkfifo(machine.bundle / "models/mlp/model.json")


@condition("AP501")
def a_description_that_names_a_file_elsewhere(machine: Machine, patch: pytest.MonkeyPatch) -> None:
    record = manifest.FileRecord(path="../project/x", part="runtime", reason="test", size=1, sha256="0" * 64)
    (machine.project / "x").write_text("x")
    machine.seal(files=(*machine.records(), record))


@condition("AP502")
def a_missing_file(machine: Machine, patch: pytest.MonkeyPatch) -> None:
    (machine.bundle / "models/mlp/model.json").unlink()


@condition("AP502")
def a_part_of_the_slim_runtime_is_missing(machine: Machine, patch: pytest.MonkeyPatch) -> None:
    a_slim_runtime_in_parts(machine)
    (machine.bundle / "lib/libaot_slim_more.so").unlink()


@condition("AP503", severity=Severity.WARNING)
def a_foreign_file(machine: Machine, patch: pytest.MonkeyPatch) -> None:
    (machine.bundle / "lib/notes.txt").touch()


@condition("AP504")
def an_absolute_search_path(machine: Machine, patch: pytest.MonkeyPatch) -> None:
    machine.library("lib/libextra.so", runpath="/opt/rocm/lib")
    machine.seal()


@condition("AP504")
def a_relative_search_path_that_leaves(machine: Machine, patch: pytest.MonkeyPatch) -> None:
    machine.library("lib/libextra.so", rpath="$ORIGIN/../../lib")
    machine.seal()


@condition("AP505")
def a_link_that_leaves(machine: Machine, patch: pytest.MonkeyPatch) -> None:
    (machine.bundle / "lib/libz.so.1").symlink_to("/usr/lib/os-release")
    machine.seal()


@condition("AP505")
def a_link_that_leaves_in_place_of_a_file(machine: Machine, patch: pytest.MonkeyPatch) -> None:
    (machine.bundle / "models/mlp/model.json").unlink()
    (machine.bundle / "models/mlp/model.json").symlink_to("/usr/lib/os-release")


@condition("AP501")
def a_link_in_place_of_a_file(machine: Machine, patch: pytest.MonkeyPatch) -> None:
    (machine.bundle / "models/mlp/model.json").rename(machine.bundle / "models/mlp/sample.npz")
    (machine.bundle / "models/mlp/model.json").symlink_to("sample.npz")
    machine.seal(files=(*(each for each in machine.records() if each.path != "models/mlp/model.json"), PLAIN))


PLAIN = manifest.FileRecord(path="models/mlp/model.json", part="model", reason="test", size=2, sha256="0" * 64)


@condition("AP506")
def an_executable_stack(machine: Machine, patch: pytest.MonkeyPatch) -> None:
    source = machine.folder / "stack.c"
    source.write_text("int stack;\n")
    library = machine.bundle / "lib/libextra.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-z", "execstack", source, "-o", library], check=True)
    machine.seal()


@condition("AP507")
def a_need_that_nothing_fulfils(machine: Machine, patch: pytest.MonkeyPatch) -> None:
    compile_one(machine.folder / "elsewhere", Double("libodd.so", "int odd;\n"), machine.scratch)
    machine.library("lib/libextra.so", needed=("libodd.so",), runpath="$ORIGIN")
    machine.seal()


@condition("AP508")
def a_description_that_was_edited(machine: Machine, patch: pytest.MonkeyPatch) -> None:
    path = machine.bundle / DESCRIPTION
    path.write_text(path.read_text().replace('"aotpack": "0.1.0"', '"aotpack": "0.1.1"'))


@condition("AP508")
def a_description_of_the_future(machine: Machine, patch: pytest.MonkeyPatch) -> None:
    machine.seal(schema=manifest.SCHEMA + 1)


@condition("AP508")
def a_folder_without_a_description(machine: Machine, patch: pytest.MonkeyPatch) -> None:
    (machine.bundle / DESCRIPTION).unlink()


@condition("AP509", severity=Severity.INFO)
def a_development_bundle(machine: Machine, patch: pytest.MonkeyPatch) -> None:
    machine.seal(portable=False)


@condition("AP510", others=("AP509",))
def a_development_bundle_whose_environment_is_gone(machine: Machine, patch: pytest.MonkeyPatch) -> None:
    (machine.bundle / "lib/libtorch_cpu.so").unlink()
    (machine.bundle / "lib/libtorch_cpu.so").symlink_to("/nonexistent/torch/lib/libtorch_cpu.so")
    machine.seal(portable=False)


@condition("AP511", severity=Severity.WARNING)
def a_second_openmp_runtime(machine: Machine, patch: pytest.MonkeyPatch) -> None:
    for name in ("libgomp-a34b3233.so.1", "libiomp5.so"):
        machine.library(f"lib/{name}", soname=name)
    machine.seal()


@condition("AP512")
def a_library_for_the_start_of_a_program(machine: Machine, patch: pytest.MonkeyPatch) -> None:
    machine.library("lib/libextra.so", EARLY.replace("SIZE", "4096"))
    machine.seal()
    for size, fails in (("4096", True), ("64", False)):  # the loader sees it as the doctor does
        path = machine.folder / f"libearly{size}.so"
        compile_one(machine.folder, Double(path.name, EARLY.replace("SIZE", size)), machine.scratch)
        command = [sys.executable, "-c", "import ctypes, sys; ctypes.CDLL(sys.argv[1])", path]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        codes = [found.kind.code for found in explain(done.stderr)]
        assert codes == (["AP512"] if fails else []), done.stderr


# ---- AP6xx: the target -----------------------------------------------------------------------------------------


@condition("AP601")
def musl(machine: Machine, patch: pytest.MonkeyPatch) -> None:
    (machine.root / "lib/x86_64-linux-gnu/libc.so.6").unlink()
    machine.write("lib/ld-musl-x86_64.so.1", "")


@condition("AP602", others=("AP410",), severity=Severity.ERROR)
def an_older_libstdcxx(machine: Machine, patch: pytest.MonkeyPatch) -> None:
    machine.write("usr/lib/x86_64-linux-gnu/libstdc++.so.6", "GLIBCXX_3.4\0GLIBCXX_3.4.28\0")


@condition("AP603", others=("AP404",))
def a_cpu_without_avx2(machine: Machine, patch: pytest.MonkeyPatch) -> None:
    machine.write("proc/cpuinfo", "model name\t: Nehalem\nflags\t\t: fpu pni sse4_2\n")


@condition("AP612", others=("AP404", "AP603"))
def a_kernel_that_keeps_the_tiles(machine: Machine, patch: pytest.MonkeyPatch) -> None:
    machine.write("proc/cpuinfo", "model name\t: Sapphire Rapids\nflags\t\t: fpu pni avx amx_tile amx_bf16\n")
    machine.seal(floors={"cpu_features": ("amx_tile", "avx2")})
    patch.setattr(host, "_tiles_refused", lambda _machine: "Operation not permitted")


@condition("AP613")
def a_cpu_without_what_a_better_variant_asks_for(machine: Machine, patch: pytest.MonkeyPatch) -> None:
    folder = machine.bundle / "models/mlp"
    shutil.copy2(folder / "model.so", folder / "model.avx512.so")
    least = Variant("avx2", cpu_features=("avx2",))
    machine.seal(model={"variants": (least, Variant("avx512", "model.avx512.so", cpu_features=("avx512f",)))})


def on_haswell(machine: Machine, **model: Any) -> None:
    machine.write("proc/cpuinfo", "model name\t: Haswell\nflags\t\t: fpu pni avx avx2 fma\n")
    machine.seal(model=model)


@condition("AP614")
def weights_of_four_bits_for_another_cpu(machine: Machine, patch: pytest.MonkeyPatch) -> None:
    on_haswell(machine, int4_order="AVX512")


@condition("AP615")
def products_of_bytes_without_vnni(machine: Machine, patch: pytest.MonkeyPatch) -> None:
    on_haswell(machine, precision=(LayerPrecision("linear layer", "int8", 2),))


@condition("AP616")
def layers_of_bfloat16_without_avx512(machine: Machine, patch: pytest.MonkeyPatch) -> None:
    folder = machine.bundle / "models/mlp"
    shutil.copy2(folder / "model.so", folder / "model.avx512.so")
    better = Variant("avx512", "model.avx512.so", cpu_features=("avx512f",))
    layouts = (descriptor((64, 32), (32, 1), (), dtype=2).hex(),)
    on_haswell(machine, layouts=layouts, variants=(Variant("avx2", cpu_features=("avx2",)), better))


@condition("AP513")
def a_models_own_description_replaced(machine: Machine, patch: pytest.MonkeyPatch) -> None:
    path = machine.bundle / "models/mlp/model.json"
    described = manifest.load_bundle(machine.bundle)
    path.write_text(json.dumps({**json.loads(path.read_text()), "torch_version": "2.9.0"}))
    files = tuple(machine.records())
    # Sealed by hand: `seal` writes both.
    (machine.bundle / DESCRIPTION).write_bytes(manifest.encode(msgspec.structs.replace(described, files=files)))


@condition("AP513")
def a_bundle_that_asks_for_less_than_its_model(machine: Machine, patch: pytest.MonkeyPatch) -> None:
    machine.seal(floors={"cpu_features": ()})


@condition("AP514")
def a_library_for_another_machine(machine: Machine, patch: pytest.MonkeyPatch) -> None:
    content = bytearray((machine.bundle / "lib/libhelper.so").read_bytes())
    content[18] = 183  # e_machine: aarch64
    (machine.bundle / "lib/libother.so").write_bytes(content)
    machine.seal()


@condition("AP515", severity=Severity.INFO)
def a_component_without_a_licence(machine: Machine, patch: pytest.MonkeyPatch) -> None:
    model = {"type": "machine-learning-model", "name": "mlp"}
    known = {"type": "library", "name": "libknown", "licenses": [{"license": {"id": "MIT"}}]}
    bill = {"bomFormat": "CycloneDX", "components": [model, known, {"type": "library", "name": "libmystery"}]}
    (machine.bundle / "sbom.cdx.json").write_text(json.dumps(bill))
    machine.seal()


@condition("AP609")
def no_more_open_files(machine: Machine, patch: pytest.MonkeyPatch) -> None:
    def refuse(path: str) -> None:
        raise OSError(errno.EMFILE, "Too many open files", path)

    patch.setattr(elf, "read_elf", refuse)


@condition("AP609")
def no_more_memory(machine: Machine, patch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object, **_named: object) -> None:
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    patch.setattr(mmap, "mmap", refuse)


@condition("AP604", others=("AP403", "AP514"))
def a_bundle_for_another_machine(machine: Machine, patch: pytest.MonkeyPatch) -> None:
    machine.seal(built_on=AARCH64)


@condition("AP605")
def a_mount_that_forbids_execution(machine: Machine, patch: pytest.MonkeyPatch) -> None:
    point = str(machine.folder).replace(" ", "\\040")
    machine.write("proc/self/mounts", f"/dev/sda1 / ext4 rw 0 0\ntmpfs {point} tmpfs rw,nosuid,noexec 0 0\n")


@condition("AP606")
def permissions_lost_in_a_copy(machine: Machine, patch: pytest.MonkeyPatch) -> None:
    (machine.bundle / "bin/aotrun").chmod(stat.S_IRUSR | stat.S_IWUSR)


@condition("AP606")
def a_file_of_somebody_else(machine: Machine, patch: pytest.MonkeyPatch) -> dict[str, Any]:
    (machine.bundle / "models/mlp/model.json").chmod(0o600)
    return {"as_nobody": True}


@condition("AP607", severity=Severity.WARNING)
def a_library_of_the_same_name_on_the_library_path(machine: Machine, patch: pytest.MonkeyPatch) -> None:
    machine.env["LD_LIBRARY_PATH"] = str(machine.write("home/lib/libhelper.so", "").parent)


@condition("AP607", severity=Severity.WARNING)
def a_preload_of_the_same_name(machine: Machine, patch: pytest.MonkeyPatch) -> None:
    machine.env["LD_PRELOAD"] = f"/usr/$LIB/libx.so {machine.write('home/lib/libhelper.so', '')}"


@condition("AP607", severity=Severity.WARNING)
def a_preload_that_does_not_exist(machine: Machine, patch: pytest.MonkeyPatch) -> None:
    machine.env["LD_PRELOAD"] = "/nonexistent/libjemalloc.so.2"


@condition("AP608")
def an_old_kernel(machine: Machine, patch: pytest.MonkeyPatch) -> None:
    machine.seal(floors={"kernel": "99.0"})


# ---- harmless directions ---------------------------------------------------------------------------------------


def system_rocm_behind_an_rpath(machine: Machine) -> None:
    machine.library("lib/libtorch_hip.so", SHIM, needed=("librocblas.so",), rpath="$ORIGIN")
    machine.library("lib/librocblas.so", soname="librocblas.so.5", needed=("libamdhip64.so",), rpath="$ORIGIN")
    machine.seal()
    machine.env["LD_LIBRARY_PATH"] = str(machine.write("opt/rocm/lib/libamdhip64.so", "").parent)


def a_slim_runtime_in_parts(machine: Machine) -> None:
    (machine.bundle / "lib/libtorch_cpu.so").unlink()
    for name, function in (("slim", "aoti_torch_zeros"), ("slim_more", "aoti_torch_delete_tensor_object")):
        machine.library(f"lib/libaot_{name}.so", SHIM.replace("aoti_torch_delete_tensor_object", function))
    machine.library("models/mlp/model.so", MODEL, needed=("libaot_slim_more.so",), runpath="$ORIGIN/../../lib")
    machine.seal(runtime="slim")


def permissions_that_only_libraries_lost(machine: Machine) -> None:
    records = machine.records()
    library = machine.bundle / "lib/libhelper.so"
    library.chmod(0o644)  # nobody starts it
    machine.seal(
        files=tuple(
            msgspec.structs.replace(each, executable=True) if each.path == "lib/libhelper.so" else each
            for each in records
        )
    )


def an_older_model(machine: Machine) -> None:
    machine.seal(model={"torch_version": "2.12.1"})


def a_driver_that_is_newer(machine: Machine) -> None:
    machine.nvml(driver="595.45.04")


def an_older_toolkit_of_the_same_major_version(machine: Machine) -> None:
    machine.write("usr/local/cuda/version.json", '{"cuda": {"name": "CUDA SDK", "version": "12.6.0"}}')


def a_gpu_that_is_split(machine: Machine) -> None:
    machine.nvml(memory=1000, split=True)


def gpus_that_are_listed(machine: Machine) -> None:
    machine.env["CUDA_VISIBLE_DEVICES"] = "0,7"


def a_gpu_that_is_listed_by_its_name(machine: Machine) -> None:
    machine.env["CUDA_VISIBLE_DEVICES"] = "GPU-8932f937"


def a_gpu_of_the_same_major_version(machine: Machine) -> None:
    machine.seal(model={"gpu_archs": ("sm_80",)}, gpu_archs=("sm_80",))
    machine.nvml(capability=(8, 6))


def a_cpu_model_in_a_cuda_bundle(machine: Machine) -> None:
    machine.seal(model={"device": "cpu", "gpu_archs": ()})


def an_active_environment_without_a_torch(machine: Machine) -> None:
    (machine.project / "tools/bin").mkdir(parents=True)
    machine.env["VIRTUAL_ENV"] = str(machine.project / "tools")


def a_preload_that_exists(machine: Machine) -> None:
    machine.env["LD_PRELOAD"] = f"libjemalloc.so.2:{machine.write('usr/lib/libx.so', '')}"


def a_bundled_libc_on_an_older_system(machine: Machine) -> None:
    shutil.copy2(machine.bundle / "lib/libhelper.so", machine.bundle / "libc.so.6")
    (machine.bundle / "libc").mkdir()
    (machine.bundle / "libc.so.6").rename(machine.bundle / "libc/libc.so.6")
    machine.seal(libc="bundled", floors={"glibc": None, "embedding_glibcxx": None})
    machine.write(
        "lib/x86_64-linux-gnu/libc.so.6", "GNU C Library (Debian GLIBC 2.28-10) stable release version 2.28.\n"
    )


@pytest.mark.parametrize(
    ("backend", "make"),
    [
        ("rocm", system_rocm_behind_an_rpath),
        ("cpu", a_slim_runtime_in_parts),
        ("cpu", permissions_that_only_libraries_lost),
        ("cpu", an_older_model),
        ("cuda", a_driver_that_is_newer),
        ("cuda", an_older_toolkit_of_the_same_major_version),
        ("cuda", a_gpu_that_is_split),
        ("cuda", gpus_that_are_listed),
        ("cuda", a_gpu_that_is_listed_by_its_name),
        ("cuda", a_gpu_of_the_same_major_version),
        ("cuda", a_cpu_model_in_a_cuda_bundle),
        ("cpu", an_active_environment_without_a_torch),
        ("cpu", a_preload_that_exists),
        ("cpu", a_bundled_libc_on_an_older_system),
    ],
)
def test_the_harmless_direction_is_quiet(
    machine: Callable[[str], Machine], backend: str, make: Callable[[Machine], None]
) -> None:
    subject = machine(backend)
    make(subject)
    assert subject.findings() == []


# ---- all of them -----------------------------------------------------------------------------------------------


@contextmanager
def as_nobody() -> Iterator[None]:
    """Root may do everything, so look as somebody else."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture(autouse=True)
def fresh_sandbox() -> Iterator[None]:
    yield
    sandbox.find_sandbox.cache_clear()


@pytest.mark.parametrize("case", cases())
def test_condition(case: Condition, machine: Callable[[str], Machine], monkeypatch: pytest.MonkeyPatch) -> None:
    subject = machine(case.backend)
    options = case.make(subject, monkeypatch) or {}
    if options.pop("as_nobody", False):
        isolation.need_open_root()
        with tempfile.TemporaryDirectory() as folder:
            open_to_all = Path(folder)
            open_to_all.chmod(0o755)
            moved = Machine(Path(shutil.move(subject.folder, open_to_all)), case.backend, subject.env)
            for parent, _, _ in os.walk(moved.folder):  # whatever umask and pytest made of them
                Path(parent).chmod(0o755)
            moved.findings()  # whatever is imported late must be by now
            with as_nobody():
                findings = moved.findings(**options)
    else:
        findings = subject.findings(**options)
    found = {each.kind.code: each for each in findings}
    assert set(found) == {case.code} | case.others
    assert found[case.code].severity is (case.severity or found[case.code].kind.severity)
    assert found[case.code].seen
