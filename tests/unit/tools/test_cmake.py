"""How CMake is called. No compiler runs here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from aotpack.tools import cmake
from aotpack.tools.compilers import Compiler


def test_the_compiler_goes_as_the_user_named_it_and_the_shells_flags_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """With launcher and flags; an absolute path may have spaces."""
    seen: list[tuple[Sequence[str], Mapping[str, str]]] = []
    monkeypatch.setattr(cmake, "run_tool", lambda command, env, line=None: seen.append((command, env)))
    monkeypatch.setenv("CXX", "not this one")
    monkeypatch.setenv("CXXFLAGS", "-Wbroken")
    compiler = Compiler(("/usr/bin/ccache", "/opt/my tools/g++", "-m64"), "g++ 12")
    cmake.build_targets(Path("source"), Path("build"), compiler, {"NAME": "a;b"}, ["one", "two"])
    (configure, environment), (build, same) = seen
    assert environment["CXX"] == "/usr/bin/ccache '/opt/my tools/g++' -m64"
    assert "CXXFLAGS" not in environment
    assert same == {**environment, "NINJA_STATUS": "[%f/%t] "}
    assert "-DNAME=a;b" in configure
    assert build[-2:] == ["one", "two"]


def test_progress_is_told_while_ninja_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each line when it is printed, not all at the end: the program waits for a sign that the first was heard."""
    ninja, heard = tmp_path / "ninja", tmp_path / "heard"
    ninja.write_text(
        "#!/bin/sh\n"
        'echo "[0/2] Re-checking"; echo "[1/2] Building a.o"\n'
        f'for i in $(seq 1000); do [ -e "{heard}" ] && break; sleep 0.01; done; [ -e "{heard}" ] || exit 3\n'
        'echo "In file [7/9] of no account"; echo "${NINJA_STATUS}"; echo "[2/2] Linking"\n'
    )
    ninja.chmod(0o755)
    monkeypatch.setattr(cmake, "find_program", lambda name: str(ninja) if name == "ninja" else "true")
    monkeypatch.setenv("NINJA_STATUS", "mine ")
    told: list[tuple[int, int]] = []

    def progress(done: int, total: int) -> None:
        told.append((done, total))
        if done == 1:
            heard.touch()

    cmake.build_targets(tmp_path, tmp_path, Compiler(("c++",), "g++ 12"), {}, [], progress)
    assert told == [(0, 2), (1, 2), (2, 2)]
