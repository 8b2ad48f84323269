"""Which wing may import which: the layout shows the architecture, so this is where it is written down."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from aotpack import resources

ROOT = Path(__file__).resolve().parents[2]
#: Where packages lie.
ROOTS = (ROOT / "toolchain", ROOT / "templates/runner")

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
    "tools": "errors",
    "elf": "errors gpu patterns tools",
    "package": "errors elf gpu",
    "libraries": "errors backend patterns resources elf",
    "environment": "errors backend tools libraries",
    "runtime": "errors backend resources elf package libraries environment",
    "native": "errors backend resources tools elf environment runtime",
    "bundle": "errors json_schemas backend patterns resources gpu tools elf package libraries environment runtime",
    "interpreter": "errors resources tools elf libraries bundle",
    "exporting": "errors backend resources gpu tools elf package environment",
    "materials": "errors patterns tools package environment bundle",
    "building": "errors backend resources progress gpu tools package libraries environment runtime native bundle"
    " interpreter materials",
    "new_project": "errors resources",
    "verifying": "errors backend patterns tools libraries native bundle",
    "release": "errors backend resources tools bundle materials verifying",
    "diagnosing": "errors backend gpu tools package libraries environment",
    "project": "errors backend json_schemas tools",
    "api": "errors backend resources progress project elf package environment native bundle exporting building"
    " verifying release diagnosing",
    "cli": "errors backend resources progress gpu tools elf package libraries environment runtime bundle exporting"
    " materials building new_project release project api",
}

#: The same of the doctor, which travels in bundles.
DOCTOR: Mapping[str, str] = {
    "base": "",
    "programs": "",
    "facts": "",
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

#: Within `exporting`.
EXPORTING: Mapping[str, str] = {
    "options": "",
    "sources": "",
    "worker": "",
    "driving": "options",
    "in_process": "driving worker",
    "kept": "driving worker",
}

#: The half of it that runs where torch is.
WORKER: Mapping[str, str] = {
    "asker": "",
    "failure": "",
    "naming": "",
    "reading": "",
    "subject": "",
    "importing": "failure",
    "options": "failure",
    "carriable": "failure naming",
    "eager": "failure naming subject",
    "graph": "failure naming subject carriable eager",
    "sources": "failure naming subject carriable eager graph",
    "layers": "",
    "mends": "",
    "gpu": "failure options",
    "code": "failure options graph layers mends gpu",
    "variants": "failure subject eager graph code",
    "packing": "eager graph",
    "verifying": "failure subject eager graph",
    "guest": "eager",
    "main": "asker failure reading subject importing options eager graph sources gpu code variants packing verifying",
}

PACKAGES = {
    "toolchain/aotpack": TOOLCHAIN,
    "toolchain/aotpack/exporting": EXPORTING,
    "toolchain/aotpack/exporting/worker": WORKER,
    "toolchain/aotpack_doctor": DOCTOR,
    "templates/runner/aotrun": RUNNER,
}

#: Who imports, of the doctor's and the runner's wings, what is not for all: formats, programs and facts are.
VISITORS: Mapping[tuple[str, str], Mapping[str, str]] = {
    ("toolchain/aotpack", "toolchain/aotpack_doctor"): {
        "reading": "api building diagnosing exporting materials verifying",
        "findings": "api diagnosing",
        "render": "diagnosing",
        "on_target": "cli",
    },
    ("toolchain/aotpack", "templates/runner/aotrun"): {"library": "api"},
    # The runner's `cli` calls the doctor itself, which is of no wing.
    ("templates/runner/aotrun", "toolchain/aotpack_doctor"): {},
}
FOR_ALL = {"base", "programs", "facts"}

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


def dotted(place: Path) -> tuple[str, ...]:
    """The parts of the name of a package, or of a module's file without its suffix."""
    return next(place.relative_to(root).parts for root in ROOTS if place.is_relative_to(root))


def imported_names(path: Path) -> Iterator[tuple[str, ...]]:
    """The parts of all names that a module imports, of modules or what they hold, for a type checker alone as well."""
    package = dotted(path.parent)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (tuple(alias.name.split(".")) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) + 1 - node.level] if node.level else ()
            module = tuple(node.module.split(".")) if node.module else ()
            yield from ((*above, *module, alias.name) for alias in node.names)


def wings_of(package: Path) -> set[str]:
    """Its modules and folders, but what all packages have: `__init__`, `__main__`."""
    found = {path.stem for path in package.iterdir() if path.suffix == ".py" or any(path.glob("*.py"))}
    return {each for each in found if not each.startswith("__")}


def imports(importing: Path, imported: Path) -> Mapping[str, set[str]]:
    """The wings of a package, each with those of a package, the same or another, that it imports."""
    package, there = dotted(imported), wings_of(imported)
    found: dict[str, set[str]] = {}
    for path in sorted(importing.rglob("*.py")):
        own = path.relative_to(importing).parts[0].removesuffix(".py")
        names = [name[len(package)] for name in imported_names(path) if name[: len(package)] == package != name]
        found.setdefault(own, set()).update(there.intersection(names))
    return found


@pytest.mark.parametrize(("place", "wings"), PACKAGES.items())
def test_imports_go_one_way(place: str, wings: Mapping[str, str]) -> None:
    found = imports(ROOT / place, ROOT / place)
    wrong = []
    for own, allowed in wings.items():
        wrong += [f"{own} imports {name}" for name in sorted(found[own] - {own, *allowed.split()})]
        wrong += [
            f"{own} imports nothing of {name}, as the table says" for name in allowed.split() if name not in found[own]
        ]
    assert not wrong


@pytest.mark.parametrize(("places", "visitors"), VISITORS.items())
def test_other_packages_are_visited_as_is_written_down(places: tuple[str, str], visitors: Mapping[str, str]) -> None:
    found: dict[str, set[str]] = {}
    for own, names in imports(*(ROOT / place for place in places)).items():
        for name in names - FOR_ALL:
            found.setdefault(name, set()).add(own)
    assert found == {name: set(allowed.split()) for name, allowed in visitors.items()}


@pytest.mark.parametrize("place", [place for place in PACKAGES if "exporting" not in place])
def test_no_modules_import_each_other(place: str) -> None:
    """Within a wing as well, on whatever ways. (What a package holds itself, as its version, all may ask for.)"""
    modules = {dotted(path.with_suffix("")): path for path in (ROOT / place).rglob("*.py")}
    waiting: dict[tuple[str, ...], set[tuple[str, ...]]] = {}
    for module, path in modules.items():
        names = [name[:end] for name in imported_names(path) for end in (len(name), len(name) - 1)]
        waiting[module] = {name for name in names if name in modules}
    while free := {module for module, needed in waiting.items() if not needed & waiting.keys()}:
        waiting = {module: needed for module, needed in waiting.items() if module not in free}
    assert not waiting


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
    assert wings_of(package) == set(wings)
    for folder in [package, *(path.parent for path in package.rglob("__init__.py"))]:
        modules = [path for path in folder.glob("*.py") if not path.name.startswith("__")]
        assert len(modules) <= 14, f"{folder.relative_to(ROOT)} holds {len(modules)} modules"
