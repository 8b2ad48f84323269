"""How programs are run. Each of these is a small shell script."""

from __future__ import annotations

import errno
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from aotpack.errors import BuildToolError
from aotpack.tools import running
from aotpack.tools.running import Ended, StartError, run, run_lines, run_tool


def is_there(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    # One that waits for whoever took it over to notice its end does nothing any more.
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


def ends(process: int) -> bool:
    until = time.monotonic() + 10
    while is_there(process) and time.monotonic() < until:
        time.sleep(0.01)
    return not is_there(process)


def test_output_and_errors_apart_and_bytes_that_are_no_text() -> None:
    assert run(["sh", "-c", "printf 'a\\377\\n'; echo b >&2; exit 3"]) == Ended(3, "a\ufffd\n", "b\n")
    assert run(["sh", "-c", "kill -9 $$"]).status == -signal.SIGKILL


def test_lines_with_those_of_errors_among_them() -> None:
    told: list[str] = []
    assert run_lines(["sh", "-c", "echo a; echo b >&2; printf c; exit 3"], told.append) == Ended(3, "a\nb\nc")
    assert told == ["a", "b", "c"]


@pytest.mark.parametrize("start", [run, lambda command: run_lines(command, print), run_tool])
def test_in_english_in_the_users_characters(
    start: Callable[[list[str]], Ended | str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"LC_ALL": "de_DE.UTF-8", "LC_MESSAGES": "fr_FR.UTF-8", "LANGUAGE": "de", "LANG": "it"}.items():
        monkeypatch.setenv(name, value)
    said = start(["sh", "-c", "echo $LC_ALL/$LC_MESSAGES/$LANGUAGE/$LANG/$LC_CTYPE"])
    assert (said if isinstance(said, str) else said.output) == "///C/de_DE.UTF-8\n"
    assert os.environ["LC_ALL"] == "de_DE.UTF-8"


def test_an_environment_without_a_locale_gets_no_characters() -> None:
    assert running.in_english({"PATH": "/bin"}) == {"PATH": "/bin", "LANG": "C"}


@pytest.mark.parametrize("start", [run, lambda command: run_lines(command, print)])
def test_nobody_is_asked(start: Callable[[list[str]], Ended], monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither at standard input nor at the terminal, which a session of its own does not have."""
    given, writing = os.pipe()
    own = os.dup(0)
    try:
        os.write(writing, b"meant for somebody else\n")
        os.dup2(given, 0)
        said = start([sys.executable, "-c", "import os, sys; print(sys.stdin.read(), os.getsid(0) == os.getpid())"])
    finally:
        os.dup2(own, 0)
        os.close(own)
    assert said.output == " True\n"
    assert os.read(given, 100) == b"meant for somebody else\n"
    os.close(given)
    os.close(writing)


def test_an_interrupt_leaves_no_child() -> None:
    """Not even one that ignores it, which what a shell starts in the background does."""
    children = []

    def interrupt(line: str) -> None:
        children.append(int(line))
        raise KeyboardInterrupt

    for start in (run_lines, lambda command, line: run_tool(command, line=line)):
        with pytest.raises(KeyboardInterrupt):
            start(["sh", "-c", "sleep 1000 & echo $!; wait"], interrupt)
    assert len(children) == 2
    assert all(map(ends, children))


def test_an_interrupted_program_cleans_up(tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    script = f"""if True:
        import pathlib, signal, time
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background inherits that it is ignored
        path = pathlib.Path({str(begun)!r})
        path.touch()
        try:
            print(flush=True)
            time.sleep(1000)
        finally:
            path.unlink()
    """

    def interrupt(_line: str) -> None:
        assert begun.exists()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_lines([sys.executable, "-c", script], interrupt)
    assert not begun.exists()


def test_a_timeout_leaves_no_child(tmp_path: Path) -> None:
    child = tmp_path / "child"
    with pytest.raises(TimeoutError, match=r"no answer in 0\.5 seconds"):
        run(["sh", "-c", f"sleep 1000 & echo $! >{child}; wait"], timeout=0.5)
    assert ends(int(child.read_text()))


def test_one_that_cannot_start_and_a_listener_that_fails_are_two_things(tmp_path: Path) -> None:
    with pytest.raises(StartError) as caught:
        run_lines([tmp_path / "nothing"], print)
    assert caught.value.errno == errno.ENOENT

    def fail(_line: str) -> None:
        raise BrokenPipeError(errno.EPIPE, "of whom it is passed on to")

    with pytest.raises(BrokenPipeError, match="passed on"):
        run_tool(["echo"], line=fail)


def test_a_failing_tool_shows_command_and_output() -> None:
    with pytest.raises(BuildToolError, match="sh failed with exit code 3") as caught:
        run_tool(["sh", "-c", "echo 'a b'; echo oops >&2; exit 3"])
    assert caught.value.detail.splitlines() == [
        "sh -c 'echo '\"'\"'a b'\"'\"'; echo oops >&2; exit 3'",
        "    a b",
        "    oops",
    ]


def test_long_output_is_cut_at_its_start() -> None:
    with pytest.raises(BuildToolError) as caught:
        run_tool(["sh", "-c", "i=0; while [ $i -lt 100 ]; do echo line $i; i=$((i+1)); done; exit 1"])
    lines = caught.value.detail.splitlines()
    assert lines[1] == f"    ... {100 - running._DETAIL_LINES} lines before"
    assert lines[-1] == "    line 99"


def test_a_tool_that_cannot_start(tmp_path: Path) -> None:
    with pytest.raises(BuildToolError, match="cannot be started"):
        run_tool([str(tmp_path / "nothing")])
