"""What is shown of a compilation of many files where nobody sees a line that changes."""

from __future__ import annotations

import pytest

from aotpack.cli import console
from aotpack.progress import terminal


def test_lines_from_time_to_time(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    clock = iter([0.0, 1.0, 6.0, 6.0, 7.0, 12.0, 12.0, 13.0])
    monkeypatch.setattr(terminal.time, "monotonic", lambda: next(clock))
    with console.file_progress("compiling") as progress:
        for done in (1, 20, 21, 80):
            progress(done, 87)
    assert capsys.readouterr().err == "compiling\n  20 of 87 files\n  80 of 87 files\n"


def test_nothing_is_said_where_everything_was_there(capsys: pytest.CaptureFixture[str]) -> None:
    with console.file_progress("compiling"):
        pass
    assert capsys.readouterr().err == "compiling\n"


def test_nothing_of_others_reaches_the_terminal_as_more_than_text(capsys: pytest.CaptureFixture[str]) -> None:
    hostile = "x\x1b]0;title\x07\x9b31m\u202e\n"
    for show in (console.tell, console.say, console.warn):
        show(hostile)
    console.table(hostile, ["name", "size"], [[hostile, hostile]])
    with console.step(hostile), console.byte_progress(hostile, 1):
        pass
    said = capsys.readouterr()
    for text in (said.out, said.err):
        assert all(line.isprintable() for line in text.split("\n"))
        assert "x\\x1b]0;title\\x07\\x9b31m" in text
