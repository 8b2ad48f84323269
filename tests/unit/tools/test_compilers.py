"""Which compiler is taken, and what is said of one that cannot be."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from aotpack.errors import BuildToolError
from aotpack.tools.compilers import find_compiler


def test_the_users_choice_with_what_stands_before_and_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "echo a 'b c'")
    found = find_compiler("c++")
    assert found.command == (shutil.which("echo"), "a", "b c")
    assert found.identity == "a b c --version"


def test_one_that_says_nothing_is_known_by_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    silent = tmp_path / "cc"
    silent.write_text("#!/bin/sh\n")
    silent.chmod(0o755)
    monkeypatch.setenv("CC", str(silent))
    assert find_compiler("c").identity == str(silent)


@pytest.mark.parametrize(("text", "what"), [("/none/c++", "not found"), ("g++ '", "no closing quotation")])
def test_what_cannot_be_a_compiler(text: str, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", text)
    with pytest.raises(BuildToolError, match=what):
        find_compiler("c++")
