"""What README, docs and CONTRIBUTING say of the repository itself: its folders, what commands leave in it, the zoo."""

from __future__ import annotations

import ast
import itertools
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest

from aotpack.project import example

ROOT = Path(__file__).resolve().parents[2]


def text_of(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def rows(text: str, head: str) -> list[list[str]]:
    """The cells of the table whose header begins so, below its header."""
    lines = text[text.index(f"| {head} |") :].partition("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]


# ---- the model zoo --------------------------------------------------------------------------------------------------


def test_the_zoo_has_as_many_models_as_are_said_to_run() -> None:
    functions = [
        node for node in ast.parse(text_of("tests/conformance/zoo.py")).body if isinstance(node, ast.FunctionDef)
    ]
    models = {
        node.name
        for node in functions
        if any(isinstance(mark, ast.Name) and mark.id == "model" for mark in node.decorator_list)
    }
    fewer = {name for name in models if re.search(r"_(b?float16|int[48])(_|$)", name)}
    page = text_of("docs/slim.md")
    table, rest = page.split("<!-- zoo: end -->")
    whole = {name for name, *_ in rows(table, "model") if "geometric" not in name}
    run = {name for name, *_ in rows(rest, "model")}
    assert whole == models - fewer
    assert run < fewer
    assert f"\n{len(run)} of {len(fewer)} more models of the zoo" in rest
    readme = " ".join(text_of("README.md").split())
    assert f"all {len(whole)} of the model zoo here in float32" in readme
    assert f"the {len(run)} that have been run of {len(fewer)} in fewer bits" in readme


# ---- what commands leave in a clone ---------------------------------------------------------------------------------


def commands(page: str) -> Iterator[tuple[PurePosixPath, list[str]]]:
    """Each command of a page's plain blocks, with the folder below the clone where it runs."""
    for language, block in re.findall(r"^```([^\n]*)\n(.*?)^```$", text_of(page), re.MULTILINE | re.DOTALL):
        folder = PurePosixPath()
        for line in () if language else block.splitlines():
            for command in re.split(r"&&|;", re.split(r"(?:^|\s)# ", line)[0]):
                try:
                    words = shlex.split(command)
                except ValueError:  # part of a JSON document
                    continue
                if words[:1] == ["cd"]:
                    folder /= words[1]
                elif words:
                    yield folder, words


def written(words: list[str]) -> Iterator[str]:
    """The paths that a command writes, folders with a slash at the end."""
    for option, value in itertools.pairwise(words):
        if option in {"--output", "-o"}:
            yield value if PurePosixPath(value).suffix else f"{value}/"
        elif option == "--venv":
            yield f"{value}/"
    program = [PurePosixPath(word).name for word in words]
    if program[:2] == ["aotpack", "init"] and "--venv" not in words:
        yield ".venv/"
    if program[:2] == ["aotpack", "init"] and "--example" in words:
        yield from example.FILES
    if program[:2] == ["aotpack", "build"] and len(words) == 2:
        yield "dist/"
    if program[:2] == ["aotpack", "new"]:
        yield f"{words[-1]}/"
    if program[1:3] == ["-m", "venv"] or program[:1] == ["mkdir"]:
        yield f"{words[-1]}/"
    if program[1:2] == ["make_input.py"]:
        yield "x.npy"


# The pages whose commands run in a clone; those of the others run where a user's own models lie.
@pytest.mark.parametrize("page", ["README.md", "docs/quickstart.md"])
def test_commands_leave_no_untracked_file(page: str, tmp_path: Path) -> None:
    paths = {
        str(folder / path) + "/" * path.endswith("/") for folder, words in commands(page) for path in written(words)
    }
    assert {".venv-aotpack/", ".venv/", "mlp.pt2", "dist/mlp/", "y.npz"} <= paths
    inside = {path for path in paths if not path.startswith(("../", "/"))}
    # In a folder that has nothing but the rules: here a venv may be a link.
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    shutil.copy(ROOT / ".gitignore", tmp_path)
    command = ["git", "-C", tmp_path, "check-ignore", "--stdin"]
    done = subprocess.run(command, input="\n".join(inside), capture_output=True, text=True, check=False)
    assert inside - set(done.stdout.splitlines()) == set()


# ---- the map of the house -------------------------------------------------------------------------------------------


def tracked() -> list[PurePosixPath]:
    names = subprocess.check_output(["git", "ls-files", "-z"], cwd=ROOT, text=True)
    return [PurePosixPath(name) for name in names.split("\0") if name and (ROOT / name).exists()]


def named(cell: str) -> list[str]:
    """What stands between backticks."""
    return re.findall(r"`([^`]+)`", cell)


def test_the_map_has_every_module_and_wing_of_the_toolchain() -> None:
    home = PurePosixPath("toolchain/aotpack")
    below = [path.relative_to(home) for path in tracked() if home in path.parents]
    there = {
        f"{path.parts[0]}/" if len(path.parts) > 1 else path.name
        for path in below
        if not path.name.startswith("__") and path.name != "py.typed"
    }
    table = rows(text_of("CONTRIBUTING.md"), "`toolchain/aotpack/`")
    assert sorted(name for cell, *_ in table for name in named(cell)) == sorted(there)


def test_the_map_has_every_other_folder() -> None:
    """Each file lies below a folder of the map, or beside one; of a folder whose rooms are named, all are."""
    table = [
        (PurePosixPath(name), what) for cell, what in rows(text_of("CONTRIBUTING.md"), "place") for name in named(cell)
    ]
    files = [path for path in tracked() if len(path.parts) > 1]
    folders = {parent for path in files for parent in path.parents}
    places = {PurePosixPath("toolchain/aotpack"), *(place for place, _ in table)}
    assert places - folders == set()
    beside = {parent for place in places for parent in place.parents}
    assert {path.parent for path in files if not places & {*path.parents}} - beside == set()
    rooms = {place: {name for name in named(what) if re.fullmatch(r"\w+/", name)} for place, what in table}
    there = {place: {f"{folder.name}/" for folder in folders if folder.parent == place} for place in rooms}
    assert {place: names for place, names in rooms.items() if names} == {
        place: names for place, names in there.items() if rooms[place]
    }
