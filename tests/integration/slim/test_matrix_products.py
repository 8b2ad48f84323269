"""The slim runtime's products and convolutions by themselves: every instruction set against sums in double."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from aotpack.native import slim
from aotpack.tools.cmake import build_targets
from aotpack.tools.compilers import Compiler, find_compiler

HERE = Path(__file__).resolve().parent
LIBRARY = slim.SOURCES / "kernels" / "matrix"


def compiled(folder: Path, compiler: Compiler, source_name: str, **definitions: str) -> Path:
    """The program; a second one in the same folder finds the kernels compiled."""
    source = {"AOT_PROGRAM": str(HERE / source_name)}
    build_targets(LIBRARY, folder, compiler, source | definitions, ["matrix_program"])
    return (folder / "matrix_program").rename(folder / Path(source_name).stem)


def run(*command: object, **environment: str) -> list[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "3", **environment}
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout.splitlines()


@pytest.fixture(scope="module")
def sanitized(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Compiles checks under ASan and UBSan."""
    folder = tmp_path_factory.mktemp("matrix")
    return lambda source: compiled(folder, find_compiler("c++"), source, AOT_SANITIZE="address,undefined")


@pytest.fixture(scope="module")
def program(sanitized: Callable[[str], Path]) -> Path:
    return sanitized("matrix_products.cpp")


def has_tiles() -> bool:
    """Whether processor and kernel have AMX."""
    flags = Path("/proc/cpuinfo").read_text(encoding="utf-8").split()
    return {"amx_tile", "amx_bf16", "amx_int8"} <= set(flags)


def test_every_instruction_set_under_sanitizers(program: Path) -> None:
    *sets, verdict = run(program, 300)
    assert sets[0] == "baseline"
    assert ("amx" in sets) == has_tiles()
    assert verdict == "0 failures"


def test_convolutions_of_every_instruction_set_under_sanitizers(sanitized: Callable[[str], Path]) -> None:
    *sets, verdict = run(sanitized("convolutions.cpp"), 200)
    assert sets[0] == "baseline"
    assert verdict == "0 failures"


def test_a_product_that_fails_keeps_no_registers(sanitized: Callable[[str], Path]) -> None:
    failed = [int(line.split()[1]) for line in run(sanitized("failing_products.cpp"), OMP_NUM_THREADS="1")]
    assert failed
    assert min(failed) > 2  # among tiles too, not only before the first


def test_an_assembler_without_tile_registers(tmp_path: Path) -> None:
    compiler = find_compiler("c++")
    if "clang" in compiler.identity:
        pytest.skip("clang is its own assembler")
    assembler = tmp_path / "as"
    refuses = (
        'for file; do case $file in *.s) grep -q tdpb "$file" && echo "no such instruction" >&2 && exit 1;; esac; done'
    )
    assembler.write_text(f'#!/bin/sh\n{refuses}\nexec {shutil.which("as")} "$@"\n')
    assembler.chmod(0o755)
    command = ["cmake", "-G", "Ninja", "-S", LIBRARY, "-B", tmp_path / "build", f"-DCMAKE_CXX_FLAGS=-B{tmp_path}"]
    run(*command, f"-DCMAKE_CXX_COMPILER={compiler.command[0]}", f"-DAOT_PROGRAM={HERE / 'matrix_products.cpp'}")
    assert "amx/kernels.cpp" not in (tmp_path / "build" / "build.ninja").read_text()


def test_the_environment_lowers_the_instruction_set(program: Path) -> None:
    *all_sets, _ = run(program, 1)
    for wanted in ("baseline", "avx2", "avx512", "amx", "a" * 9999):
        last = all_sets.index(wanted) + 1 if wanted in all_sets else len(all_sets)
        assert run(program, 1, AOT_SLIM_ISA=wanted)[:-1] == all_sets[:last]


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where programs for another architecture are compiled."""
    return tmp_path_factory.mktemp("elsewhere")


@pytest.mark.parametrize("source", ["matrix_products.cpp", "convolutions.cpp"])
def test_plain_code_on_another_architecture(source: str, elsewhere: Path) -> None:
    cross, emulator = shutil.which("aarch64-linux-gnu-g++"), shutil.which("qemu-aarch64")
    if cross is None or emulator is None:
        pytest.skip("g++-aarch64-linux-gnu and qemu-user are not installed")
    system = {"CMAKE_SYSTEM_NAME": "Linux", "CMAKE_SYSTEM_PROCESSOR": "aarch64", "CMAKE_EXE_LINKER_FLAGS": "-static"}
    program = compiled(elsewhere, Compiler((cross,), "cross"), source, **system)
    assert run(emulator, program, 60) == ["baseline", "0 failures"]
