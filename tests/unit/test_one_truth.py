"""Facts that have to stand in more than one place, since those cannot read each other: they are the same everywhere."""

from __future__ import annotations

import ast
import platform
import re
import subprocess
from pathlib import Path

import msgspec
import pytest
from aotrun import errors
from aotrun.arrays.dtypes import BY_NAME
from aotrun.commands import info
from aotrun.formats import opening
from aotrun.library import ffi

from aotpack.exporting.worker.gpu import nvcc
from aotpack.exporting.worker.variants import this_cpu
from aotpack.package import metadata
from aotpack_doctor.base import places, regular, single_file
from aotpack_doctor.base.gpu_code import GENERIC
from aotpack_doctor.base.printable import printable
from aotpack_doctor.base.soname import GLIBC
from aotpack_doctor.facts import SHIM_HEADER
from aotpack_doctor.findings.checks import target
from aotpack_doctor.reading import host, toolkits

ROOT = Path(__file__).resolve().parents[2]


def words(path: str, name: str) -> set[str]:
    """The strings in a constant of a Python file that cannot be imported here."""
    for node in ast.parse((ROOT / path).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and any(
            isinstance(each, ast.Name) and each.id == name for each in node.targets
        ):
            return {each.value for each in ast.walk(node.value) if isinstance(each, ast.Constant)}
    raise AssertionError(f"{path} has no {name}")


def test_element_types() -> None:
    """Those of a signature, of the export, of the runner and of the bridge, which also agree on DLPack's numbers."""
    rows = re.findall(
        r'\{"(\w+)", \{AOT_(\w+), (\d+), 1\}\}', (ROOT / "bridge/src/base/dtype.cpp").read_text(encoding="utf-8")
    )
    header = (ROOT / "bridge/include/aot_bridge.h").read_text(encoding="utf-8")
    codes = {name: int(re.search(rf"\bAOT_{name} = (\d+)", header)[1]) for _, name, _ in rows}  # type: ignore[index]
    bridge = {name: (codes[code], int(bits)) for name, code, bits in rows}
    assert bridge == {dtype.name: (dtype.code, dtype.bits) for dtype in BY_NAME.values()}
    assert set(bridge) == set(metadata.DTYPES)
    assert set(bridge) == words("toolchain/aotpack/exporting/worker/carriable.py", "DTYPES")


def test_places_in_a_bundle() -> None:
    """Of those who import nothing of ours, or nothing that early."""
    worker = "toolchain/aotpack/interpreter/worker.py"
    assert words(worker, "PROGRAM") == {places.PYTHON_PROGRAM}
    assert words(worker, "LIBRARIES") == {places.PYTHON_LIB}
    assert words(worker, "RUNNER") == {places.RUNNER}
    assert single_file._LAUNCHER == places.LAUNCHER
    assert f"{places.LIB}/{ffi.LIBRARY}" == places.BRIDGE


def test_what_the_runner_and_the_doctor_say_of_files() -> None:
    """The runner starts without the doctor, which a bundle need not have."""
    modes = [kind | 0o644 for kind in range(0, 1 << 16, 1 << 12)]
    assert [opening.kind(mode) for mode in modes] == [regular.kind(mode) for mode in modes]
    texts = [chr(code) for code in (*range(0x3000), 0xD800, 0xDCFF, 0xFFFF, 0x1F600, 0x10FFFF)]
    assert [errors.printable(text) for text in texts] == [printable(text) for text in texts]


def test_folders_of_the_nvidia_driver() -> None:
    source = (ROOT / "bridge/src/device/device_gpu.cpp").read_text(encoding="utf-8")
    table = source[source.index("kDriverFolders[]") :]
    assert tuple(re.findall(r'"/([^"]+)"', table[: table.index(";")])) == host.DRIVER_FOLDERS


def test_the_gpus_of_generic_targets() -> None:
    source = (ROOT / "bridge/src/device/device.cpp").read_text(encoding="utf-8")
    rows = re.findall(r'\{"(gfx[\d-]+-generic)",\s*\{([^}]+)\}\}', source)
    assert {name: tuple(re.findall(r'"(\w+)"', gpus)) for name, gpus in rows} == GENERIC


def test_glibcs_own_libraries() -> None:
    table = msgspec.toml.decode((ROOT / "toolchain/aotpack/materials/components.toml").read_bytes())
    (row,) = (row for row in table["component"] if row["name"] == "glibc")
    assert tuple(row["files"]) == GLIBC


def test_where_a_cuda_toolkit_is() -> None:
    assert toolkits.CUDA.compiler_variables == nvcc.COMPILERS
    assert toolkits.CUDA.folder_variables == nvcc.HOMES
    assert toolkits.CUDA.usual == nvcc.USUAL


def test_what_libtorch_needs_for_layers_of_16_bits() -> None:
    source = (ROOT / "bridge/src/model/halves.cpp").read_text(encoding="utf-8")

    def features(before: str) -> tuple[str, ...]:
        braces = re.search(rf"{re.escape(before)}\(\{{([^}}]*)\}}\)", source)
        assert braces is not None
        return tuple(re.findall(r'"(\w+)"', braces[1]))

    assert features("for_float16 = missing_features") == target.ONEDNN_HALVES["float16"]
    assert features("for_bfloat16 = missing_features") == target.ONEDNN_HALVES["bfloat16"]
    assert features("if (missing_cpu_features") == target.ONEDNN_BOTH


def test_what_is_said_of_layers_of_int8() -> None:
    assert info.OF_INT8 == metadata.OF_INT8


def test_cpu_features_that_the_kernel_calls_otherwise() -> None:
    assert this_cpu._KERNEL_NAMES == host._KERNEL_NAMES


@pytest.mark.parametrize("path", ["bridge/src/base/amx.cpp", "bridge/slim/kernels/matrix/table.cpp"])
def test_how_the_registers_of_amx_are_asked_for(path: str) -> None:
    source = (ROOT / path).read_text(encoding="utf-8")
    numbers = {name: int(value, 0) for value, name in re.findall(r"= (\w+);\s+// ([A-Z_]+)$", source, re.MULTILINE)}
    assert numbers["ARCH_REQ_XCOMP_PERM"] == host._ARCH_REQ_XCOMP_PERM
    assert numbers["XFEATURE_XTILEDATA"] == host._XFEATURE_XTILEDATA


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the number is that of one architecture")
def test_the_number_of_a_system_call() -> None:
    text = "#include <sys/syscall.h>\nis: SYS_arch_prctl\n"
    done = subprocess.run(["cc", "-E", "-P", "-xc", "-"], input=text, capture_output=True, text=True, check=True)
    assert f"is: {host._SYS_ARCH_PRCTL}\n" in done.stdout


def test_the_header_that_torch_s_others_are_told_by() -> None:
    assert f'"${{TORCH_INCLUDE}}/{SHIM_HEADER}"' in (ROOT / "bridge/slim/CMakeLists.txt").read_text(encoding="utf-8")
