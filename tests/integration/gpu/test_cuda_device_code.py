"""Trimming device code in files: those that nvcc makes where there is one, and files without any."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from aotpack.gpu import fatbin, trimming
from aotpack.gpu.fatbin import Kind, parse_arch
from aotpack_doctor.reading.toolkits import CUDA, folders

KERNEL = """
__global__ void {name}(float* x, float a, int n) {{
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) x[i] += a;
}}
extern "C" void run_{name}(float* x, float a, int n) {{ {name}<<<(n + 255) / 256, 256>>>(x, a, n); }}
"""
CODE = ("75", "80", "86", "90", "90a", "100f")


def find_cuda_tool(name: str) -> str | None:
    beside = [Path(home) / "bin" / name for home in folders(CUDA, os.environ)]
    return next((str(path) for path in beside if path.is_file()), shutil.which(name))


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shared library with device code of two translation units for several architectures and PTX."""
    nvcc = find_cuda_tool("nvcc")
    if nvcc is None:
        pytest.skip("no nvcc: trimming is tested on sections put together by hand only")
    folder = tmp_path_factory.mktemp("nvcc")
    sources = []
    for name in ("scale", "shift"):
        sources.append(folder / f"{name}.cu")
        sources[-1].write_text(KERNEL.format(name=name))
    targets = [f"-gencode=arch=compute_{number},code=sm_{number}" for number in CODE]
    targets.append("-gencode=arch=compute_120,code=[sm_120,compute_120]")
    made = folder / "libkernels.so"
    command = [
        nvcc,
        "-shared",
        "-Xcompiler",
        "-fPIC",
        "-cudart",
        "shared",
        *targets,
        *map(str, sources),
        "-o",
        str(made),
    ]
    subprocess.run(command, check=True, capture_output=True)
    return made


def test_nvcc_speaks_the_format_that_we_read(library: Path) -> None:
    expected = ("sm_75", "sm_80", "sm_86", "sm_90", "sm_90a", "sm_100f", "sm_120", "compute_120")
    assert trimming.architectures(library) == expected


@pytest.mark.parametrize(
    ("target", "expected"), [("sm_90", ("sm_90", "sm_90a")), ("sm_103", ("sm_100f",)), ("sm_120", ("sm_120",))]
)
def test_a_trimmed_file_loads_and_keeps_its_code_bit_for_bit(
    library: Path, tmp_path: Path, target: str, expected: tuple[str, ...]
) -> None:
    copy = tmp_path / "libkernels.so"
    shutil.copy(library, copy)
    saved = trimming.trim(copy, [parse_arch(target)])
    assert saved > 0
    assert trimming.architectures(copy) == expected
    assert copy.stat().st_size == library.stat().st_size
    before, after = cubins(library), cubins(copy)
    assert after
    assert after <= before
    # What the host code points at is still there: every region by its start.
    assert region_starts(copy) == region_starts(library)


def cubins(path: Path) -> set[bytes]:
    section = section_of(path)
    return {
        section[element.offset : element.offset + element.size]
        for part in fatbin.parse(section)
        for element in part.elements
        if element.kind == Kind.CUBIN
    }


def region_starts(path: Path) -> list[int]:
    return [part.offset for part in fatbin.parse(section_of(path))]


def section_of(path: Path) -> bytes:
    with path.open("rb") as stream:
        return bytes(ELFFile(stream).get_section_by_name(trimming.SECTION).data())


def test_nvidias_own_tool_reads_a_trimmed_file(library: Path, tmp_path: Path) -> None:
    tool = find_cuda_tool("cuobjdump")
    if tool is None:
        pytest.skip("no cuobjdump: only our own reader has looked at the trimmed file")
    copy = tmp_path / "libkernels.so"
    shutil.copy(library, copy)
    trimming.trim(copy, [parse_arch("sm_90")])
    listed = subprocess.run([tool, "--list-elf", str(copy)], check=True, capture_output=True, text=True).stdout
    architectures = {line.rsplit(".", 2)[1] for line in listed.splitlines() if line.endswith(".cubin")}
    assert architectures == {"sm_90", "sm_90a"}


def test_a_library_without_device_code_is_left_alone(tmp_path: Path) -> None:
    source, made = tmp_path / "a.c", tmp_path / "liba.so"
    source.write_text("int a(void) { return 1; }\n")
    subprocess.run([os.environ.get("CC", "cc"), "-shared", "-fPIC", str(source), "-o", str(made)], check=True)
    content = made.read_bytes()
    assert trimming.trim(made, [parse_arch("sm_90")]) == 0
    assert trimming.architectures(made) == ()
    assert made.read_bytes() == content


def test_a_file_that_is_no_library_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "libtext.so"
    path.write_text("text")
    with pytest.raises(ValueError, match="ELF"):
        trimming.trim(path, [parse_arch("sm_90")])
