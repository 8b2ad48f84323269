"""Stub libraries, compiled: the loader takes them, and a call says what to build differently."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from aotpack.elf.symbols import Symbol, read_symbols
from aotpack.errors import BuildToolError
from aotpack.native.stubs import Stub, build_stub, plan_stubs
from aotpack.tools.compilers import Compiler, find_compiler

CC = os.environ.get("CC", "cc")


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def compile_library(folder: Path, name: str, source: str, *flags: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.c").write_text(source)
    library = folder / name
    command = [CC, "-shared", "-fPIC", f"-Wl,-soname,{name}", str(folder / f"{name}.c"), *flags, "-o", str(library)]
    subprocess.run(command, check=True)
    return library


@pytest.fixture
def importer(tmp_path: Path) -> tuple[Path, Path]:
    """A library that links to a versioned vendor library of functions and a variable; both paths."""
    script = tmp_path / "versions.map"
    script.write_text("VENDOR_2 { global: vendor_*; local: *; };\n")
    vendor = compile_library(
        tmp_path / "vendor",
        "libvendor.so.2",
        "int vendor_table[4] = {1, 2, 3, 4};"
        "int vendor_run(int x) { return x + 1; } int vendor_other(void) { return 0; }",
        f"-Wl,--version-script={script}",
    )
    user = compile_library(
        tmp_path / "user",
        "libuser.so",
        "extern int vendor_table[4]; int vendor_run(int); int safe(void) { return 7; }"
        "int first(void) { return vendor_table[0]; } int use(int x) { return vendor_run(x); }",
        str(vendor),
        "-Wl,-rpath,$ORIGIN",
    )
    return user, vendor


def test_a_compiled_stub_stands_in_for_the_library(tmp_path: Path, importer: tuple[Path, Path]) -> None:
    user, vendor = importer
    (stub,) = plan_stubs({"libvendor.so.2": ("vendor", vendor)}, [user])
    assert stub.symbols == (Symbol("vendor_run", "VENDOR_2"), Symbol("vendor_table", "VENDOR_2", size=16))
    library = build_stub(stub, find_compiler("c"))
    shutil.copy(library, user.parent)
    assert library.stat().st_size < 20_000
    exported = {symbol.name for symbol in read_symbols(library).exports}
    assert {"vendor_run", "vendor_table"} <= exported
    assert not {"left_out", "say"} & exported

    program = tmp_path / "program"
    main = "int safe(void); int use(int); int main(int c, char** v) { (void)v; return c > 1 ? use(1) : safe(); }"
    (tmp_path / "main.c").write_text(main)
    command = [CC, str(tmp_path / "main.c"), str(user), f"-Wl,-rpath,{user.parent}", "-o", str(program)]
    subprocess.run(command, check=True)
    # LD_BIND_NOW: every function is resolved at load, as a hardened system does it.
    environment = {**os.environ, "LD_BIND_NOW": "1"}
    calm = subprocess.run([program], env=environment, capture_output=True, text=True, check=False)
    assert (calm.returncode, calm.stderr) == (7, "")  # no complaint about versions either
    called = subprocess.run([program, "call"], env=environment, capture_output=True, text=True, check=False)
    assert called.returncode == -signal.SIGABRT
    assert called.stderr == (
        "error: vendor_run: a function of libvendor.so.2 was called, which this bundle left out\n"
        "  The model needs the feature group vendor after all.\n"
        "  fix: build the bundle again with --features vendor\n"
    )


def test_a_library_that_nothing_is_imported_from_becomes_an_empty_one() -> None:
    library = build_stub(Stub("libnothing.so.1", "nothing", ()), find_compiler("c"))
    assert read_symbols(library).exports == frozenset()


def test_names_of_c_plus_plus_are_exported_as_they_are() -> None:
    name = "_ZN6vendor5ClassC1ERKNSt7__cxx1112basic_stringIcEE"
    library = build_stub(Stub("libcxx.so.1", "cxx", (Symbol(name),)), find_compiler("c"))
    assert Symbol(name) in read_symbols(library).exports


def test_a_failing_compiler_is_a_build_tool_that_failed() -> None:
    with pytest.raises(BuildToolError):
        build_stub(Stub("liba.so.1", "a", ()), Compiler(("false",), "a compiler that fails"))
