"""Who hears of progress, and what."""

from __future__ import annotations

import logging

import pytest

from aotpack.progress import choosing, notebook, terminal
from aotpack.progress.events import Event
from aotpack.progress.reporter import Reporter


def work(reporter: Reporter) -> None:
    with reporter.step("compiling"):
        reporter.warn("careful")
    with reporter.bytes("writing", 10) as done:
        done(4)
        done(6)
    with reporter.files("building") as files:
        files(1, 2)
    reporter.say("ready")


def test_a_callback_hears_everything_in_order() -> None:
    heard: list[Event] = []
    work(choosing.reporter_for(heard.append))
    assert heard == [
        Event("begin", "compiling"),
        Event("warning", "careful"),
        Event("end", "compiling"),
        Event("begin", "writing", 0, 10, "bytes"),
        Event("progress", "writing", 4, 10, "bytes"),
        Event("progress", "writing", 10, 10, "bytes"),
        Event("end", "writing", 10, 10, "bytes"),
        Event("begin", "building", unit="files"),
        Event("progress", "building", 1, 2, "files"),
        Event("end", "building", unit="files"),
        Event("message", "ready"),
    ]


def test_a_phase_that_fails_does_not_end_well() -> None:
    heard: list[Event] = []
    with pytest.raises(ValueError, match="no"), choosing.reporter_for(heard.append).step("compiling"):
        raise ValueError("no")
    assert heard == [Event("begin", "compiling")]


@pytest.mark.parametrize("progress", [None, False])
def test_where_nobody_looks_it_goes_to_the_log(
    progress: bool | None, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.INFO, "aotpack"):
        work(choosing.reporter_for(progress))
    assert [(record.levelname, record.message) for record in caplog.records] == [
        ("INFO", "compiling"),
        ("WARNING", "careful"),
        ("INFO", "writing"),
        ("INFO", "building"),
        ("INFO", "ready"),
    ]
    assert capsys.readouterr().err == ""


def test_where_it_is_asked_for_it_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    work(choosing.reporter_for(True))
    assert capsys.readouterr().err.splitlines() == ["compiling", "warning: careful", "writing", "building", "ready"]


def test_a_quiet_terminal_warns_all_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    work(terminal.reporter(quiet=True))
    assert capsys.readouterr().err == "warning: careful\n"


def test_a_notebooks_line_holds_nothing_but_text() -> None:
    assert "<script>" not in notebook.line(Event("begin", "<script>"), 0)
    assert '<progress value="4" max="10">' in notebook.line(Event("progress", "writing", 4, 10, "bytes"), 2.4)
    assert "(2 s)" in notebook.line(Event("end", "writing"), 2.4)
