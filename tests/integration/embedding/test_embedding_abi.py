"""The binary interface: what an old program sees of a new library."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from elftools.elf.gnuversions import GNUVerDefSection, GNUVerSymSection
from elftools.elf.sections import SymbolTableSection

from tests.support.bundles.embedding_projects import ROOT, run

HEADER = ROOT / "bridge" / "include" / "aot_bridge.h"
#: Headers as they were when their AOT_API_VERSION was the newest. They are never edited.
FROZEN = Path(__file__).parent / "abi"
VERSIONS = sorted(path.name for path in FROZEN.iterdir() if path.is_dir())


def functions(header: Path) -> set[str]:
    """The functions that a header declares."""
    return set(re.findall(r"^AOT_API .*?\b(aot_\w+)\(", header.read_text(), re.MULTILINE))


def structs(header: Path) -> dict[str, list[str]]:
    """The fields of a header's structs, in order."""
    text = re.sub(r"/\*.*?\*/", "", header.read_text(), flags=re.DOTALL)
    found = re.findall(r"typedef struct aot_\w+ \{(.*?)\} (aot_\w+);", text, re.DOTALL)
    field = re.compile(r"\(\*(\w+)\)\(|(\w+)(?:\[\d+\])?$")
    return {
        name: [next(filter(None, match.groups())) for line in body.split(";") if (match := field.search(line.strip()))]
        for body, name in found
    }


def test_the_frozen_headers_end_with_the_current_version() -> None:
    match = re.search(r"#define AOT_API_VERSION (\d+)", HEADER.read_text())
    assert match is not None
    assert VERSIONS[-1] == match[1], "the header has a new version: freeze it in tests/integration/embedding/abi"


@pytest.mark.parametrize("version", VERSIONS)
def test_nothing_is_removed_or_moved(version: str, tmp_path: Path) -> None:
    """Functions stay, fields keep their place and size, structs only grow, and those without a size never do."""
    frozen = FROZEN / version / "aot_bridge.h"
    assert functions(frozen) <= functions(HEADER)
    fields = structs(frozen)
    assert {"aot_view", "aot_managed", "aot_load_options", "aot_dim", "aot_device_report"} <= set(fields)
    lines = [
        f'printf("{name}.{field} %zu %zu\\n", offsetof({name}, {field}), sizeof((({name}*)0)->{field}));'
        for name, names in fields.items()
        for field in names
    ]
    fixed = [name for name, names in fields.items() if names[0] != "struct_size"]
    lines += [f'printf("sizeof {name} %zu\\n", sizeof({name}));' for name in fixed]
    source = tmp_path / "layout.c"
    source.write_text(
        "#include <aot_bridge.h>\n#include <stdio.h>\nint main(void) {" + "\n".join(lines) + "return 0; }\n"
    )
    layouts = []
    for folder in (frozen.parent, HEADER.parent):
        run("cc", "-std=c99", f"-I{folder}", source, "-o", tmp_path / "layout")
        layouts.append(run(tmp_path / "layout").stdout)
    assert layouts[0] == layouts[1]
    assert len(layouts[0].splitlines()) > 40


@pytest.mark.parametrize(
    ("version", "model"), [("1", "mlp"), ("2", "inplace"), ("3", "mlp"), ("4", "mlp"), ("5", "voice"), ("6", "mlp")]
)
def test_a_program_of_an_older_header_runs_on_the_current_library(
    version: str, model: str, portable: Path, exported: Callable[..., Path], tmp_path: Path
) -> None:
    program = tmp_path / "consumer"
    library = portable / "lib"
    run(
        *("cc", "-std=c99", "-Wall", "-Wextra", "-Werror", f"-I{FROZEN / version}", FROZEN / version / "consumer.c"),
        *("-o", program, f"-L{library}", "-laot_bridge", f"-Wl,-rpath,{library}"),
    )
    run(program, exported(model, cpu_isa="avx2") if model == "voice" else exported(model))


def test_every_version_has_its_program() -> None:
    assert [path.parent.name for path in sorted(FROZEN.glob("*/consumer.c"))] == VERSIONS


def test_the_bundle_s_packages_tell_the_version_of_the_header() -> None:
    """What find_package(aot_bridge N) and pkg-config compare with."""
    share = ROOT / "templates" / "share"
    config = (share / "cmake" / "aot_bridge" / "aot_bridge-config-version.cmake").read_text()
    assert f"set(PACKAGE_VERSION {VERSIONS[-1]})" in config
    assert f"\nVersion: {VERSIONS[-1]}\n" in (share / "pkgconfig" / "aot_bridge.pc").read_text()


def test_the_library_exports_the_header_and_nothing_else(portable: Path) -> None:
    """Every symbol has the version that it came with, so that the loader tells a program when it needs a later one."""
    with (portable / "lib" / "libaot_bridge.so").open("rb") as stream:
        elf = ELFFile(stream)
        symbols = elf.get_section_by_name(".dynsym")
        versions = elf.get_section_by_name(".gnu.version")
        definitions = elf.get_section_by_name(".gnu.version_d")
        assert isinstance(symbols, SymbolTableSection)
        assert isinstance(versions, GNUVerSymSection)
        assert isinstance(definitions, GNUVerDefSection)
        names = {entry["vd_ndx"]: next(auxiliary).name for entry, auxiliary in definitions.iter_versions()}
        exported = {}
        for index, symbol in enumerate(symbols.iter_symbols()):
            if symbol["st_shndx"] not in ("SHN_UNDEF", "SHN_ABS"):
                exported[symbol.name] = names[versions.get_symbol(index)["ndx"]]
    came = {name: version for version in reversed(VERSIONS) for name in functions(FROZEN / version / "aot_bridge.h")}
    assert exported == {name: f"AOT_{version}" for name, version in came.items()}
    assert set(exported) == functions(HEADER)


def test_a_program_asks_for_the_symbol_version(portable: Path, tmp_path: Path) -> None:
    source = tmp_path / "program.c"
    source.write_text("#include <aot_bridge.h>\nint main(void) { return (int)aot_api_version(); }\n")
    library = portable / "lib"
    run("cc", f"-I{portable}/include", source, "-o", tmp_path / "program", f"-L{library}", "-laot_bridge")
    with (tmp_path / "program").open("rb") as stream:
        needed = ELFFile(stream).get_section_by_name(".gnu.version_r")
        wanted = {library.name: {entry.name for entry in entries} for library, entries in needed.iter_versions()}
    assert wanted["libaot_bridge.so"] == {"AOT_1"}


def test_the_package_files_state_the_api_version() -> None:
    share = ROOT / "templates" / "share"
    version = VERSIONS[-1]
    assert f"\nVersion: {version}\n" in (share / "pkgconfig" / "aot_bridge.pc").read_text()
    cmake = (share / "cmake" / "aot_bridge" / "aot_bridge-config-version.cmake").read_text()
    assert f"set(PACKAGE_VERSION {version})" in cmake
