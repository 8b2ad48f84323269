"""NVIDIA's compiler, played by a script."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from aotpack.exporting.worker.failure import WorkerError
from aotpack.exporting.worker.gpu import nvcc

PTX = """//
.version 8.8
.target {target}
.address_size 64
"""


@pytest.fixture
def compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A toolkit of CUDA 13's GPUs, named by CUDA_HOME; no other is found."""
    for name in ("CUDACXX", "CUDA_HOME", "CUDA_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    place = tmp_path / "cuda" / "bin" / "nvcc"
    place.parent.mkdir(parents=True)
    place.write_text("#!/bin/sh\n[ $1 = --list-gpu-code ] && echo sm_75 && echo sm_80 && echo sm_120\n")
    place.chmod(0o755)
    monkeypatch.setenv("CUDA_HOME", str(tmp_path / "cuda"))
    return place


def test_it_is_looked_for_where_it_is_named_first(
    compiler: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert nvcc.find() == str(compiler)
    other = tmp_path / "nvcc"
    other.symlink_to(compiler)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert nvcc.find() == str(compiler)
    monkeypatch.delenv("CUDA_HOME")
    assert nvcc.find() == str(other)
    monkeypatch.setenv("CUDACXX", str(compiler))
    assert nvcc.find() == str(compiler)
    monkeypatch.delenv("CUDACXX")
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    assert nvcc.find(usual=str(tmp_path / "cuda")) == str(compiler)


def test_without_one_it_is_said_what_to_install(compiler: Path, tmp_path: Path) -> None:
    compiler.unlink()
    with pytest.raises(WorkerError, match="nvcc: not on PATH") as caught:
        nvcc.find(usual=str(tmp_path))
    assert caught.value.kind == "tool"
    assert "install the CUDA toolkit" in caught.value.fix


def test_gpus_that_it_does_not_know(compiler: Path) -> None:
    nvcc.refuse_unknown(["sm_80", "sm_120"])
    with pytest.raises(WorkerError, match=r"--arch sm_70,sm_90: .*nvcc compiles for sm_75, sm_80, sm_120") as caught:
        nvcc.refuse_unknown(["sm_70", "sm_80", "sm_90"])
    assert caught.value.kind == "tool"
    assert "leave sm_70, sm_90 out of --arch" in caught.value.fix


@pytest.mark.parametrize(
    ("target", "wanted"), [("sm_90a", "sm_90"), ("sm_100f", "sm_100"), ("sm_80", "sm_80"), ("sm_120a", "sm_120")]
)
def test_ptx_is_for_all_that_came_after(target: str, wanted: str) -> None:
    assert nvcc.for_any(PTX.format(target=target)) == PTX.format(target=wanted)


def test_what_it_refuses_is_told_in_its_words() -> None:
    said = "ptxas /tmp/x.ptx, line 9; error : Instruction 'wgmma.fence' not supported on .target 'sm_90'\nmore"
    error = subprocess.CalledProcessError(255, ["/usr/bin/nvcc", "-fatbin", "k.ptx"], "", f"\n{said}")
    outer = RuntimeError("Command failed")
    outer.__cause__ = error
    told = nvcc.failure(outer, ["sm_90", "sm_100"])
    assert told is not None
    assert "cannot assemble a kernel for sm_90, sm_100" in str(told)
    assert "Instruction 'wgmma.fence' not supported" in str(told)
    assert told.kind == "tool"
    assert "add an older GPU to --arch" in told.fix
    assert nvcc.failure(RuntimeError("another"), ["sm_90"]) is None
    other = subprocess.CalledProcessError(1, ["g++", "x.cpp"])
    assert nvcc.failure(other, ["sm_90"]) is None
