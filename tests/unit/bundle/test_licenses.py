"""Whose licence texts travel."""

from __future__ import annotations

from pathlib import Path

import pytest

from aotpack.backend import Backend
from aotpack.bundle import licenses
from aotpack.bundle.entries import Copy
from aotpack.libraries.recipe import License, Recipe, TorchSource


def recipe(*lines: License) -> Recipe:
    return Recipe(schema=1, backend=Backend.CPU, layout="flat", torch=TorchSource("2.13.0"), roots=(), licenses=lines)


def test_texts_of_wheels_lie_below_their_component(tmp_path: Path) -> None:
    names = ("torch-2.13.dist-info/licenses/LICENSE", "torch-2.13.dist-info/licenses/third/NOTICE", "numpy.txt")
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    found = licenses.of_wheels(tmp_path, recipe(License("torch", "torch-*.dist-info/licenses/**/*")))
    assert {entry.destination: entry.content for entry in found} == {
        "licenses/torch/torch-2.13/LICENSE": Copy(tmp_path / names[0]),
        "licenses/torch/torch-2.13/third/NOTICE": Copy(tmp_path / names[1]),
    }


@pytest.fixture
def dpkg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A double of dpkg-query that answers from a file and writes down what it was asked."""
    program = tmp_path / "bin" / "dpkg-query"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >{tmp_path}/asked\ncat {tmp_path}/answer\nexit 1\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    return tmp_path


def test_texts_of_the_systems_libraries_are_their_packages(dpkg: Path) -> None:
    """A package is asked for by both names of a merged /usr; its text is taken once, others' are not looked for."""
    libc = next(path for path in map(Path, ("/lib/x86_64-linux-gnu/libc.so.6", "/lib64/libc.so.6")) if path.exists())
    documented = next(iter(sorted(Path("/usr/share/doc").glob("*/copyright")))).parent.name
    (dpkg / "answer").write_text(f"{documented}:amd64: {libc}\n{documented}: /other\nno-such-package: /third\n")
    found = list(licenses.of_system([libc, dpkg / "own.so"]))
    assert [entry.destination for entry in found] == [f"licenses/{documented}/copyright"]
    asked = (dpkg / "asked").read_text().splitlines()
    assert asked[0] == "--search"
    assert str(libc.resolve()) in asked
    assert str(libc.resolve()).removeprefix("/usr") in asked
    assert str(dpkg / "own.so") not in asked


def test_nobody_is_asked_where_there_is_nothing_to_ask(dpkg: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not list(licenses.of_system([dpkg / "own.so"]))
    monkeypatch.setenv("PATH", str(dpkg / "nowhere"))
    assert not list(licenses.of_system([Path("/usr/lib/libc.so.6")]))
    assert not (dpkg / "asked").exists()
