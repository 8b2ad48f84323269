"""Other names for what a library imports."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from aotpack.elf.facts import read_elf
from aotpack.elf.renaming import Renaming, rename
from aotpack.elf.symbols import read_symbols
from aotpack.errors import BuildToolError
from aotpack.runtime.slim_table import OWN_NAMES


def test_both_names_of_a_pair_are_equally_long() -> None:
    with pytest.raises(ValueError, match="are not equally long"):
        Renaming(prefixes=(("aoti_", "own_"),))
    with pytest.raises(ValueError, match="are not equally long"):
        Renaming(libraries=(("libgomp.so.1", "libomp.so.1"),))


@pytest.mark.parametrize(
    ("name", "own"),
    [
        ("aoti_torch_get_dim", "slim_torch_get_dim"),
        ("torch_exception_get_what", "slimt_exception_get_what"),
        ("Sleef_expf8_u10", "Slimf_expf8_u10"),
        ("GOMP_parallel", "AOMP_parallel"),
        ("omp_get_thread_num", "aop_get_thread_num"),
        ("memcpy", "memcpy"),
    ],
)
def test_the_slim_runtimes_own_names(name: str, own: str) -> None:
    assert OWN_NAMES.name_of(name) == own


def test_no_renaming_is_none() -> None:
    assert not Renaming()
    assert OWN_NAMES
    assert Renaming().name_of("aoti_torch_get_dim") == "aoti_torch_get_dim"
    assert Renaming().library_of("libgomp.so.1") == "libgomp.so.1"
    assert OWN_NAMES.library_of("libgomp.so.1") == "libaomp.so.1"


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Imports of torch, libgomp and libc, and exports whose names begin as some of those do."""
    folder = tmp_path_factory.mktemp("renaming")
    source = folder / "model.c"
    source.write_text(
        "extern int aoti_torch_get_dim(void); extern char *getenv(const char *);\n"
        'int aoti_of_its_own(void) { return getenv("x") != 0; }\nint env(void) { return 0; }\n'
        "int run(void) {\n  int sum = 0;\n#pragma omp parallel\n  sum += aoti_torch_get_dim();\n  return sum;\n}\n"
    )
    made = folder / "model.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-fopenmp", source, "-o", made], check=True)
    return made


def test_imports_change_and_nothing_else_does(library: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.so"
    copy.write_bytes(library.read_bytes())
    rename(copy, OWN_NAMES)
    before, after = read_symbols(library), read_symbols(copy)
    assert {s.name for s in after.imports} == {OWN_NAMES.name_of(s.name) for s in before.imports}
    assert "AOMP_parallel" in {s.name for s in after.imports}
    assert {s.name for s in after.exports} == {s.name for s in before.exports}
    elf = read_elf(copy)
    assert "libaomp.so.1" in elf.needed
    assert elf.version_needs["libaomp.so.1"] == read_elf(library).version_needs["libgomp.so.1"]
    different = sum(a != b for a, b in zip(library.read_bytes(), copy.read_bytes(), strict=True))
    assert different < 40
    rename(copy, OWN_NAMES)  # a second time: nothing is left to change
    assert {s.name for s in read_symbols(copy).imports} == {s.name for s in after.imports}


def test_a_name_that_others_lie_within_stays(library: Path, tmp_path: Path) -> None:
    # The linker lets the export `env` be the end of the import `getenv`.
    copy = tmp_path / "copy.so"
    copy.write_bytes(library.read_bytes())
    with pytest.raises(BuildToolError, match="lies within one that is to be changed"):
        rename(copy, Renaming(prefixes=(("getenv", "getxyz"),)))


def test_new_names_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    # The linker lets the import `env` be the end of the import `getenv`: both would be changed, in one place.
    source = tmp_path / "model.c"
    source.write_text("extern int getenv(void), env(void);\nint run(void) { return getenv() + env(); }\n")
    library = tmp_path / "model.so"
    subprocess.run(["gcc", "-shared", "-fPIC", source, "-o", library], check=True)
    content = library.read_bytes()
    with pytest.raises(BuildToolError, match="the name env lies within one that is to be changed"):
        rename(library, Renaming(prefixes=(("getenv", "getxyz"), ("env", "abc"))))
    assert library.read_bytes() == content
    rename(library, Renaming(prefixes=(("getenv", "getxyz"), ("env", "xyz"))))
    assert {"getxyz", "xyz"} <= {symbol.name for symbol in read_symbols(library).imports}
