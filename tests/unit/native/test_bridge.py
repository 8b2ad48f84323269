"""Compiling the bridge: tools found, results cached, errors told. No compiler runs here."""

from __future__ import annotations

import stat
from dataclasses import replace
from pathlib import Path

import pytest

from aotpack.backend import Backend
from aotpack.environment.torch import TorchInfo
from aotpack.errors import BuildToolError, TorchMismatchError
from aotpack.native import bridge
from aotpack.tools.compilers import Compiler, find_compiler
from aotpack_doctor.facts import SHIM_HEADER


@pytest.fixture
def torch(tmp_path: Path) -> TorchInfo:
    """A torch with the headers that count."""
    include = tmp_path / "torch" / "include"
    header = include / SHIM_HEADER
    header.parent.mkdir(parents=True, exist_ok=True)
    header.write_text("// header\n")
    return TorchInfo(
        version="2.13.0+cpu",
        variant=Backend.CPU,
        cuda=None,
        hip=None,
        cxx11_abi=True,
        root=tmp_path / "torch",
        lib_dirs=(tmp_path / "torch" / "lib",),
        include_dirs=(include,),
        python=None,
        python_version=None,
        site_packages=tmp_path,
        source="--venv",
    )


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "aotpack" / "parts" / "bridge"


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Compiling writes empty files; returns the folders that were compiled in."""
    done: list[Path] = []

    def compile_nothing(
        _source: Path, build: Path, _compiler: Compiler, _definitions: object, _targets: object
    ) -> None:
        done.append(build)
        build.mkdir()
        for name in (bridge.BRIDGE, bridge.PROXY):
            (build / name).write_bytes(b"")

    monkeypatch.setattr(bridge, "build_targets", compile_nothing)
    monkeypatch.setattr(bridge, "find_compiler", lambda _language: Compiler(("/usr/bin/c++",), "c++ 12.2.0"))
    return done


def test_a_second_build_compiles_nothing(torch: TorchInfo, builds: list[Path], cache: Path) -> None:
    first = bridge.build_bridge(torch, Backend.CPU)
    assert bridge.build_bridge(torch, Backend.CPU) == first
    assert len(builds) == 1
    assert [path.name for path in first] == ["libaot_bridge.so"]
    assert list(cache.iterdir()) == [first[0].parent.parent]
    assert [path.name for path in first[0].parent.iterdir()] == ["libaot_bridge.so"]


def test_everything_that_matters_makes_another_build(
    torch: TorchInfo, builds: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = {bridge.build_bridge(torch, Backend.CPU)[0]}
    seen.add(bridge.build_bridge(torch, Backend.CPU, debug=True)[0])
    seen.add(bridge.build_bridge(torch, Backend.CPU, proxy=True)[0])
    seen.add(bridge.build_bridge(replace(torch, version="2.14.0"), Backend.CPU)[0])
    seen.add(bridge.build_bridge(replace(torch, cxx11_abi=False), Backend.CPU)[0])
    (torch.include_dirs[0] / SHIM_HEADER).write_text("// changed\n")
    seen.add(bridge.build_bridge(torch, Backend.CPU)[0])
    monkeypatch.setattr(bridge, "find_compiler", lambda _language: Compiler(("/usr/bin/c++",), "c++ 13.1.0"))
    seen.add(bridge.build_bridge(torch, Backend.CPU)[0])
    assert len(seen) == len(builds) == 7


def test_another_search_path_compiles_nothing(
    torch: TorchInfo, builds: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str | None] = []
    monkeypatch.setattr(bridge, "apply_edit", lambda _copy, edit, _original: asked.append(edit.search_path))
    compiled = bridge.build_bridge(torch, Backend.CPU)
    elsewhere = bridge.build_bridge(torch, Backend.CPU, runpath=("$ORIGIN", "/torch/lib"))
    assert elsewhere != compiled
    assert bridge.build_bridge(torch, Backend.CPU, runpath=("$ORIGIN", "/torch/lib")) == elsewhere
    assert (asked, len(builds)) == (["$ORIGIN:/torch/lib"], 1)


def test_a_cache_that_lost_a_file_is_filled_again(torch: TorchInfo, builds: list[Path]) -> None:
    library, proxy = bridge.build_bridge(torch, Backend.CPU, proxy=True)
    proxy.unlink()
    assert bridge.build_bridge(torch, Backend.CPU, proxy=True) == (library, proxy)
    assert proxy.is_file()
    assert len(builds) == 2


def test_a_failed_build_leaves_nothing(
    torch: TorchInfo, builds: list[Path], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_source: Path, build: Path, *_: object) -> None:
        build.mkdir()
        raise BuildToolError("c++ failed", meaning="it did", fix="mend it")

    monkeypatch.setattr(bridge, "build_targets", fail)
    with pytest.raises(BuildToolError):
        bridge.build_bridge(torch, Backend.CPU)
    assert list(cache.iterdir()) == []


def test_a_cache_that_cannot_be_written(torch: TorchInfo, builds: list[Path], tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where a folder should be")
    with pytest.raises(BuildToolError, match="cannot be written") as caught:
        bridge.build_bridge(torch, Backend.CPU)
    assert "XDG_CACHE_HOME" in caught.value.fix
    assert builds == []


def test_torch_without_headers(torch: TorchInfo) -> None:
    with pytest.raises(TorchMismatchError, match="without its headers"):
        bridge.build_bridge(replace(torch, include_dirs=()), Backend.CPU)


@pytest.mark.parametrize("backend", [Backend.CUDA, Backend.ROCM])
def test_a_bridge_for_a_gpu_asks_for_no_toolkit(
    backend: Backend, torch: TorchInfo, builds: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A venv with torch and a compiler are all there is: no variable is looked at, and no toolkit's folder is named."""
    given: dict[str, str] = {}

    def compile_nothing(
        _source: Path, build: Path, _compiler: Compiler, definitions: dict[str, str], _targets: object
    ) -> None:
        given.update(definitions)
        build.mkdir()
        (build / bridge.BRIDGE).write_bytes(b"")

    monkeypatch.setattr(bridge, "build_targets", compile_nothing)
    for variable in ("CUDA_HOME", "CUDA_PATH", "ROCM_PATH"):
        monkeypatch.setenv(variable, "/a/toolkit")
    first = bridge.build_bridge(torch, backend)
    assert given["AOT_GPU"] == str(backend)
    assert not [value for value in given.values() if "/a/toolkit" in value or "/usr/local/cuda" in value]
    for variable in ("CUDA_HOME", "CUDA_PATH", "ROCM_PATH"):
        monkeypatch.delenv(variable)
    assert bridge.build_bridge(torch, backend) == first
    assert first != bridge.build_bridge(torch, Backend.CPU)


def test_no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(BuildToolError, match=r"no C\+\+ compiler") as caught:
        find_compiler("c++")
    assert "apt-get install g++" in caught.value.fix


def test_the_users_compiler_is_honoured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiler = tmp_path / "my-c++"
    compiler.write_text('#!/bin/sh\necho "mine $*"\n')
    compiler.chmod(compiler.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("CXX", f"{compiler} -m64")
    assert find_compiler("c++") == Compiler((str(compiler), "-m64"), "mine -m64 --version")
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(BuildToolError, match="CXX=no-such-compiler: not found"):
        find_compiler("c++")
