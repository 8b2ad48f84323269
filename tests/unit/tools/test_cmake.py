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
    monkeypatch.setattr(cmake, "run_tool", lambda command, env: seen.append((command, env)))
    monkeypatch.setenv("CXX", "not this one")
    monkeypatch.setenv("CXXFLAGS", "-Wbroken")
    compiler = Compiler(("/usr/bin/ccache", "/opt/my tools/g++", "-m64"), "g++ 12")
    cmake.build_targets(Path("source"), Path("build"), compiler, {"NAME": "a;b"}, ["one", "two"])
    (configure, environment), (build, same) = seen
    assert environment["CXX"] == "/usr/bin/ccache '/opt/my tools/g++' -m64"
    assert "CXXFLAGS" not in environment
    assert same == environment
    assert "-DNAME=a;b" in configure
    assert build[-2:] == ["one", "two"]
