"""Who owns a file, of a dpkg-query that is a double: a script that answers from a file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from aotpack.tools import dpkg


@pytest.fixture
def answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    program = tmp_path / "bin" / "dpkg-query"
    program.parent.mkdir()
    # As it ends where some file is of no package.
    program.write_text(f"#!/bin/sh\necho $LC_ALL$LANG >{tmp_path}/language\ncat {tmp_path}/answer\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")

    def answers(*lines: str) -> None:
        (tmp_path / "answer").write_text("".join(f"{line}\n" for line in lines))

    return answers


def test_two_names_of_one_file_both_have_its_owner(answers: Callable[..., None], tmp_path: Path) -> None:
    library = tmp_path / "libm.so.6.1"
    library.touch()
    link = tmp_path / "libm.so.6"
    link.symlink_to(library.name)
    answers(f"libc6:amd64: {library}", f"{tmp_path}/other: {tmp_path}/other")
    assert dpkg.owners([link, library, tmp_path / "own.so"]) == {link: "libc6:amd64", library: "libc6:amd64"}
    assert (tmp_path / "language").read_text() == "C\n"


def test_of_several_owners_the_first_and_no_diversion(answers: Callable[..., None]) -> None:
    path = Path("/usr/share/doc/libc6/copyright")
    answers(f"diversion by dash from: {path}", f"libc6:amd64, libc6:i386: {path}")
    assert dpkg.owners([path]) == {path: "libc6:amd64"}


def test_the_older_name_of_a_merged_usr_counts(answers: Callable[..., None]) -> None:
    path = Path("/usr/no-such-folder/libz.so.1")
    answers("zlib1g:amd64: /no-such-folder/libz.so.1")
    assert dpkg.owners([path]) == {path: "zlib1g:amd64"}


def test_nobody_is_asked_where_there_is_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert dpkg.owners([Path("/usr/bin/env")]) == {}
    assert dpkg.query("--show") == ""
