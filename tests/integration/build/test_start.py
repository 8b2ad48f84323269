"""Fewer initialisers at the start of a library: which run, what stays as it was, and that no op of torch's is lost."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import IO, Any

import pytest
from elftools.elf.elffile import ELFFile

from aotpack.backend import Backend
from aotpack.elf.edits import strip_copy
from aotpack.elf.initialisers import shorten
from aotpack.environment.search import find_torch
from aotpack.tools.compilers import find_compiler

PROGRAMS = Path(__file__).parent / "programs"

#: A source file that says when its initialiser runs, under the name that torch's macros give to what they register.
UNIT = """
#include <cstdio>
struct Said { explicit Said(const char* what) { std::puts(what); } };
namespace at { namespace { const Said %s("%s"); } }
int function_of_%s() { return 7; }
"""

#: Throws across libraries and asks for types, after all initialisers ran.
MAIN = """
#include <dlfcn.h>
#include <cstdio>
#include <stdexcept>
#include <typeinfo>
struct Base { virtual ~Base() = default; };
struct Derived : Base {};
extern Base* make();
extern void fail();
extern int function_of_tracing();
int main() {
  Base* made = make();
  try { fail(); } catch (const std::runtime_error& error) { std::puts(error.what()); }
  const bool is_derived = dynamic_cast<Derived*>(made) != nullptr && typeid(*made) == typeid(Derived);
  std::printf("%d %d\\n", is_derived, function_of_tracing());
  delete made;
}
"""
LAST = """
#include <stdexcept>
struct Base { virtual ~Base() = default; };
struct Derived : Base {};
Base* make() { return new Derived; }
void fail() { throw std::runtime_error("thrown"); }
"""


def compile_them(*arguments: str | Path) -> None:
    command = [*find_compiler("c++").command, "-O0", *map(str, arguments)]
    subprocess.run(command, check=True)


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """Three units: one of use, one for tracing alone, and again one of use."""
    sources = []
    for name, key in (("kernels", "aten_CPU"), ("tracing", "aten_Tracer"), ("fallbacks", "__AutogradCPU")):
        source = tmp_path / f"{name}.cpp"
        source.write_text(UNIT % (f"TORCH_LIBRARY_IMPL_static_init_{key}_1", name, name))
        sources.append(source)
    (tmp_path / "last.cpp").write_text(LAST)
    (tmp_path / "main.cpp").write_text(MAIN)
    made = tmp_path / "libunits.so"
    compile_them("-shared", "-fPIC", *sources, tmp_path / "last.cpp", "-o", made)
    compile_them(tmp_path / "main.cpp", made, "-Wl,-rpath,$ORIGIN", "-o", tmp_path / "main")
    return made


def said(library: Path) -> list[str]:
    done = subprocess.run([library.parent / "main"], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


@pytest.mark.parametrize("stripped", [False, True])
def test_what_is_of_use_runs_in_its_order_and_the_rest_does_not(library: Path, stripped: bool) -> None:
    before = said(library)
    assert before == ["kernels", "tracing", "fallbacks", "thrown", "1 7"]
    original = shutil.copy(library, library.with_name("original.so"))
    if stripped:
        strip_copy(Path(original), library)
    assert shorten(library, Path(original)) == ("tracing.cpp",)
    assert said(library) == [line for line in before if line != "tracing"]


def test_nothing_but_the_list_changes(library: Path) -> None:
    before = library.read_bytes()
    shorten(library, library)
    after = library.read_bytes()
    assert len(after) == len(before)
    changed = {index // 8 for index, (old, new) in enumerate(zip(before, after, strict=True)) if old != new}
    # Its size, and the addresses from the first one left out on.
    assert 2 <= len(changed) <= 4


def test_without_static_symbols_nothing_is_left_out(library: Path) -> None:
    strip_copy(library, library)
    before = library.read_bytes()
    assert shorten(library, library) == ()
    assert library.read_bytes() == before


def test_a_list_of_unknown_form_is_left_alone(library: Path) -> None:
    """Here a library without any."""
    folder = library.parent
    (folder / "plain.c").write_text("int answer(void) { return 42; }\n")
    plain = folder / "plain.so"
    compile_them("-shared", "-fPIC", "-nostdlib", "-x", "c", folder / "plain.c", "-o", plain)
    before = plain.read_bytes()
    assert shorten(plain, plain) == ()
    assert plain.read_bytes() == before


def test_a_bundles_libtorch_has_every_op_with_all_its_kernels(
    portable: Path, backend_venv: Path, tmp_path: Path
) -> None:
    torch = find_torch(Backend.CPU, venv=backend_venv)
    library = torch.lib_dirs[0]
    includes = [f"-I{folder}" for folder in torch.include_dirs]
    program = tmp_path / "list_kernels"
    link = [f"-L{library}", "-ltorch_cpu", "-lc10"]
    compile_them("-std=c++20", "-w", *includes, PROGRAMS / "list_kernels.cpp", *link, "-o", program)

    def ops(folder: Path) -> set[str]:
        environment = {**os.environ, "LD_LIBRARY_PATH": str(folder)}
        done = subprocess.run([program], env=environment, capture_output=True, text=True, check=True)
        # Ops that torch's own tests of TorchScript define.
        return {line for line in done.stdout.splitlines() if not line.startswith("_test::")}

    complete = ops(library)
    assert len(complete) > 3000
    assert ops(portable / "lib") == complete
    with (library / "libtorch_cpu.so").open("rb") as ours, (portable / "lib/libtorch_cpu.so").open("rb") as theirs:
        assert initialisers(theirs) < initialisers(ours)


def initialisers(stream: IO[bytes]) -> int:
    for segment in ELFFile(stream).iter_segments("PT_DYNAMIC"):
        tag: Any
        for tag in segment.iter_tags("DT_INIT_ARRAYSZ"):
            return int(tag.entry.d_val)
    raise AssertionError("no list of initialisers")
