"""oneDNN's descriptors of weights as the slim runtime reads them: one table for it and the others."""

from __future__ import annotations

import ctypes
import subprocess
from pathlib import Path

from aotpack.backend import Backend
from aotpack.environment.search import find_torch
from aotpack.native import slim
from aotpack.runtime.slim_weights import _Descriptor
from tests.support.models.packed_layouts import CASES

HERE = Path(__file__).resolve().parent
TENSORS = ("allocator", "dtype", "packed", "tensor")


def expected(descriptor: bytes) -> str:
    """The numbers as aotpack takes them apart."""
    given = _Descriptor.from_buffer_copy(descriptor[: ctypes.sizeof(_Descriptor)])
    of_dims = (given.sizes[: given.rank], given.padded_sizes[: given.rank], given.strides[: given.rank])
    of_blocks = (given.block_sizes[: given.blocks], given.block_dims[: given.blocks])
    texts = ["".join(f" {number}" for number in numbers) + " |" for numbers in (*of_dims, *of_blocks)]
    return "".join(texts) + f" {given.dtype}"


def test_what_the_slim_runtime_reads(backend_venv: Path, tmp_path: Path) -> None:
    torch = find_torch(Backend.CPU, venv=backend_venv)
    sources = [HERE / "packed_layouts.cpp", *(slim.SOURCES / "tensor" / f"{name}.cpp" for name in TENSORS)]
    includes = [f"-I{slim.SOURCES}", "-isystem", torch.include_dirs[0]]
    flags = ["-std=c++17", "-O0", "-fsanitize=address", "-ffunction-sections", "-Wl,--gc-sections"]
    program = tmp_path / "layouts"
    subprocess.run(["g++", *flags, *includes, *sources, "-o", program], check=True)
    lines = "".join(f"{case.descriptor.hex()}\n" for case in CASES)
    done = subprocess.run([program], input=lines, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    read = dict(zip([case.what for case in CASES], done.stdout.splitlines(), strict=True))
    assert read == {case.what: expected(case.descriptor) if case.is_read_by_slim else "refused" for case in CASES}
