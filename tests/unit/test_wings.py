"""Which wing may import which: the layout shows the architecture, so this is where it is written down."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from aotpack import resources

ROOT = Path(__file__).resolve().parents[2]

#: The wings of the toolchain from the ground up, each with those that it may import besides itself. A module at the top
#: is a wing of its own.
TOOLCHAIN: Mapping[str, str] = {
    "errors": "",
    "json_schemas": "",
    "backend": "",
    "patterns": "",
    "resources": "",
    "progress": "",
    "gpu": "errors backend",
    "tools": "errors resources",
    "elf": "errors gpu patterns tools",
    "package": "errors elf gpu",
    "libraries": "errors backend patterns resources elf",
    "environment": "errors backend patterns elf tools libraries",
    "runtime": "errors backend patterns resources elf package libraries environment",
    "native": "errors backend resources tools elf libraries environment runtime",
    "bundle": "errors backend json_schemas patterns resources gpu tools elf package libraries environment runtime"
    " native",
    "interpreter": "errors resources tools elf libraries bundle",
    "exporting": "errors backend resources gpu tools elf package environment",
    "materials": "errors patterns tools package environment bundle",
    "building": "errors backend patterns resources progress gpu tools elf package libraries environment runtime native"
    " bundle interpreter materials",
    "new_project": "errors resources tools bundle",
    "verifying": "errors backend patterns tools elf libraries environment native bundle",
    "release": "errors backend resources tools bundle materials verifying",
    "diagnosing": "errors backend patterns gpu tools elf package libraries environment runtime native bundle",
    "project": "errors backend json_schemas tools",
    "api": "errors backend resources progress project elf package environment native bundle exporting building"
    " verifying release diagnosing",
    "cli": "errors backend patterns resources progress project gpu tools elf package libraries environment runtime"
    " native bundle interpreter exporting materials building new_project verifying release diagnosing api",
}

#: The same of the doctor, which travels in bundles.
DOCTOR: Mapping[str, str] = {
    "base": "",
    "programs": "",
    "facts": "base",
    "reading": "base facts",
    "findings": "base programs facts reading",
    "render": "base facts findings",
    "on_target": "base facts reading findings render",
}

#: And of the runner.
RUNNER: Mapping[str, str] = {
    "errors": "",
    "options": "errors",
    "arrays": "errors",
    "formats": "errors arrays",
    "library": "errors arrays formats",
    "serving": "errors arrays formats library",
    "commands": "errors arrays formats library serving",
    "cli": "errors options",
}

PACKAGES = {
    "toolchain/aotpack": TOOLCHAIN,
    "toolchain/aotpack_doctor": DOCTOR,
    "templates/runner/aotrun": RUNNER,
}

#: The folders of the bridge's sources from the ground up, each with those that it may include besides itself.
BRIDGE: Mapping[str, str] = {
    "base": "",
    "device": "base",
    "package": "base",
    "runtime": "base device package",
    "model": "base device package runtime",
    "api": "base device package runtime model",
}

#: And of the slim runtime's.
SLIM: Mapping[str, str] = {
    "threads": "",
    "kernels/matrix": "threads",
    "vector": "",
    "tensor": "threads kernels/matrix",
    "kernels": "threads kernels/matrix tensor",
    "shim": "threads tensor",
    "ops": "threads kernels/matrix tensor kernels",
}

SOURCES = {"bridge/src": BRIDGE, "bridge/slim": SLIM}


def statements(path: Path) -> Iterator[ast.AST]:
    """All nodes of a module but those that a type checker alone reads."""
    waiting: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while waiting:
        node = waiting.pop()
        yield node
        if not (isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"):
            waiting.extend(ast.iter_child_nodes(node))


def is_module(path: Path) -> bool:
    return path.is_dir() or path.with_suffix(".py").is_file()


def imports(package: Path) -> Iterator[tuple[Path, str]]:
    """Each module below a package with the wings of the package that it imports."""
    for path in sorted(package.rglob("*.py")):
        for node in statements(path):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module == package.name:
                names = [f"{package.name}.{alias.name}" for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
                names = [node.module]
            for name in names:
                parts = name.split(".")
                if (
                    parts[0] == package.name
                    and len(parts) > 1
                    and (package / parts[1]).with_suffix("").exists() | (package / f"{parts[1]}.py").exists()
                ):
                    yield path, parts[1]


@pytest.mark.parametrize(("place", "wings"), PACKAGES.items())
def test_imports_go_one_way(place: str, wings: Mapping[str, str]) -> None:
    package = ROOT / place
    wrong = []
    for path, imported in imports(package):
        own = path.relative_to(package).parts[0].removesuffix(".py")
        if own.startswith("__") or imported.startswith("__") or imported == own:
            continue
        if imported not in wings[own].split():
            wrong.append(f"{path.relative_to(ROOT)} imports {imported}")
    assert not wrong


def wing_of(place: Path, wings: Mapping[str, str]) -> str | None:
    """The innermost folder of the table that a file lies in."""
    return max((wing for wing in wings if place.is_relative_to(wing)), key=len, default=None)


@pytest.mark.parametrize(("place", "wings"), SOURCES.items())
def test_includes_go_one_way(place: str, wings: Mapping[str, str]) -> None:
    wrong, seen = [], set()
    for path in sorted((ROOT / place).rglob("*.*")):
        own = wing_of(path.relative_to(ROOT / place), wings)
        if path.suffix not in (".cpp", ".h") or own is None:
            assert path.suffix not in (".cpp", ".h"), f"{path.relative_to(ROOT)} is in no folder of the table"
            continue
        seen.add(own)
        for name in re.findall(r'^#include "(.+)"', path.read_text(), re.MULTILINE):
            included = wing_of(Path(name), wings)
            if included not in (None, own, *wings[own].split()):
                wrong.append(f"{path.relative_to(ROOT)} includes {name}")
    assert not wrong
    assert seen == set(wings)


@pytest.mark.parametrize("place", SOURCES)
def test_no_folder_of_sources_is_a_hall(place: str) -> None:
    for folder in {path.parent for path in (ROOT / place).rglob("*.cpp")}:
        names = {path.stem for path in folder.iterdir() if path.suffix in (".cpp", ".h")}
        assert len(names) <= 14, f"{folder.relative_to(ROOT)} holds {len(names)} modules"


#: Modules of the toolchain and the doctor that run programs, and those that look for one.
RUN = {"tools/running.py"}
FIND = {"tools/programs.py"}
#: Those run in another interpreter, where nothing of aotpack can be imported.
ALONE = ("exporting/worker/", "interpreter/worker.py")
#: Functions of `os` and `shutil` that do the one or the other.
RUNNING = re.compile(r"system|popen|exec[lv]p?e?|spawn[lv]p?e?|posix_spawnp?|fork|forkpty")


@pytest.mark.parametrize("package", [ROOT / "toolchain/aotpack", resources.DOCTOR], ids=lambda path: path.name)
def test_programs_are_found_and_run_in_one_place(package: Path) -> None:
    run, find = set(), set()
    for path in sorted(package.rglob("*.py")):
        place = path.relative_to(package).as_posix()
        if place.startswith(ALONE):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names = {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                names = {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
            elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                names = {f"{node.value.id}.{node.attr}"}
            else:
                continue
            if any(each == "subprocess" or RUNNING.fullmatch(each.removeprefix("os.")) for each in names):
                run.add(place)
            if names & {"shutil.which", "distutils.spawn"}:
                find.add(place)
    assert (run, find) == ((RUN, FIND) if package.name == "aotpack" else (set(), set()))


@pytest.mark.parametrize("wings", [*PACKAGES.values(), *SOURCES.values()])
def test_there_are_no_circles(wings: Mapping[str, str]) -> None:
    """The tables list wings from the ground up, and each may import only what stands before it."""
    known: set[str] = set()
    for wing, allowed in wings.items():
        assert set(allowed.split()) <= known, wing
        known.add(wing)


@pytest.mark.parametrize(("place", "wings"), PACKAGES.items())
def test_every_wing_is_in_the_table_and_none_is_a_hall(place: str, wings: Mapping[str, str]) -> None:
    package = ROOT / place
    found = {
        path.name.removesuffix(".py") for path in package.iterdir() if path.suffix == ".py" or any(path.glob("*.py"))
    }
    assert {each for each in found if not each.startswith("__")} == set(wings)
    for folder in [package, *(path.parent for path in package.rglob("__init__.py"))]:
        modules = [path for path in folder.glob("*.py") if not path.name.startswith("__")]
        assert len(modules) <= 14, f"{folder.relative_to(ROOT)} holds {len(modules)} modules"
