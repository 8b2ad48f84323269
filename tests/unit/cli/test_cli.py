"""The command line as such: help, errors, exit codes. Each command has its own tests."""

from __future__ import annotations

import errno
import importlib
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest

from aotpack import __version__, cli
from aotpack.cli import console
from aotpack.errors import AotpackError, DamagedError, MachineMismatchError
from tests.support.bundles.hand_made import make_bundle


@pytest.fixture(autouse=True)
def _fresh_console(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "verbosity", 0)
    monkeypatch.setattr(console, "json_output", False)


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as left:
        cli.main(arguments)
    code = left.value.code
    assert isinstance(code, int)
    return code


def fail_with(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Make a command that fails; the group must turn it into words and an exit code."""

    @click.command()
    @console.json_option
    @console.common_options
    def failing(as_json: bool) -> None:
        raise error

    monkeypatch.setattr(cli.LazyGroup, "get_command", lambda *_: failing)


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_helps_with_examples(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(name, "--help") == 0
    shown = capsys.readouterr().out
    assert "Examples:" in shown
    assert f"aotpack {name}" in shown


@pytest.mark.parametrize(("archs", "word"), [("sm_80,", ""), ("90", "90"), ("sm_80, sm_90a", "sm_90a")])
def test_words_that_are_no_gpus(archs: str, word: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "m.py").touch()
    command = ["export", f"{tmp_path / 'm.py'}:model", "--output", f"{tmp_path / 'm.pt2'}", "--device", "cuda"]
    assert run(*command, "--arch", archs) == 2
    assert f"--arch {word}: " in capsys.readouterr().err


def leaves(command: click.Command) -> list[click.Command]:
    return (
        [leaf for each in command.commands.values() for leaf in leaves(each)]
        if isinstance(command, click.Group)
        else [command]
    )


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_has_a_document_for_programs(name: str) -> None:
    command = importlib.import_module(f"aotpack.cli.{name}").command
    for leaf in leaves(command):
        assert any("--json" in option.opts for option in leaf.params), leaf.name


def test_completion_knows_new_options(capsys: pytest.CaptureFixture[str]) -> None:
    from click.shell_completion import BashComplete

    found = BashComplete(cli.group, {}, "aotpack", "_AOTPACK_COMPLETE").get_completions(["build"], "--as")
    assert [item.value for item in found] == ["--asset"]
    assert run("completion", "bash", "--json") == 0
    assert "_AOTPACK_COMPLETE" in json.loads(capsys.readouterr().out)["script"]


@pytest.mark.parametrize(
    ("arguments", "what", "fix"),
    [
        (["run", "dist/mlp"], "there is no command 'run'", "BUNDLE/bin/aotrun infer"),
        (["infer", "--input", "x.npy"], "there is no command 'infer'", "BUNDLE/bin/aotrun infer"),
        (["bench"], "there is no command 'bench'", "BUNDLE/bin/aotrun bench"),
        (["biuld"], "there is no command 'biuld', did you mean 'build'?", "aotpack --help"),
        (["build", "m.py:model"], "m.py: no such file", "check the path"),
        (["new", "my-app"], "Missing option '--lang'. Choose from: c, cpp, rust, python", "aotpack new --help"),
    ],
)
def test_what_people_type_first_is_answered_in_three_lines(
    arguments: list[str], what: str, fix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*arguments) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    assert lines[0] == f"error: {what}"
    assert fix in lines[2]


@pytest.mark.parametrize("name", ["x.npy", "x.npz"])
def test_inspect_of_an_array_says_whose_it_is(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / name
    (np.save if name.endswith("y") else np.savez)(path, np.zeros(3))
    assert run("inspect", str(path)) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == f"error: {path}: a NumPy array"
    assert f"aotrun infer --input {path}" in lines[2]
    # An archive that holds something else as well is no array.
    with zipfile.ZipFile(tmp_path / "model.pt2", "w") as archive:
        archive.writestr("model/data/a.npy", b"")
        archive.writestr("model/version", b"1")
    assert run("inspect", str(tmp_path / "model.pt2")) == 5


def test_packages_are_arguments_of_build_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[Any] = []

    def build(request: Any, _reporter: object) -> Any:
        seen.append(request)
        raise DamagedError("seen", meaning="enough", fix="nothing")

    monkeypatch.setattr("aotpack.building.build.build", build)
    for arguments in (["a.pt2"], ["--model", "a.pt2"], ["-o", "dist/x", "--model", "a.pt2", "n=b.pt2", "c.pt2"]):
        assert run("build", *arguments) == 6
    assert seen[0].models == seen[1].models == ((None, Path("a.pt2")),)
    assert seen[0].output == seen[1].output == Path("dist/a")
    assert seen[2].models == ((None, Path("a.pt2")), ("n", Path("b.pt2")), (None, Path("c.pt2")))
    assert seen[2].output == Path("dist/x")


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_the_list_says_what_the_command_says(name: str) -> None:
    command = importlib.import_module(f"aotpack.cli.{name}").command
    first_line = (command.help or "").strip().splitlines()[0]
    assert first_line == cli.COMMANDS[name]


def test_help_imports_no_command_and_nothing_heavy() -> None:
    probe = (
        "import sys; from aotpack import cli\n"
        "try: cli.main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'numpy', 'rich', 'msgspec', 'elftools', 'auditwheel', 'aotpack.building.build'}\n"
        "heavy &= set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    path = str(Path(cli.__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-c", probe], env={"PYTHONPATH": path}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--version") == 0
    assert __version__ in capsys.readouterr().out


def test_unknown_command_and_option_are_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("bild") == 2
    assert "build" in capsys.readouterr().err  # what was meant
    assert run("build", "--portabel") == 2


def test_without_a_command_the_help_is_readable(capsys: pytest.CaptureFixture[str]) -> None:
    assert run() == 2
    shown = capsys.readouterr()
    assert run("--help") == 0
    assert (shown.out, shown.err) == ("", capsys.readouterr().out)


def test_an_error_is_three_lines(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    fail_with(monkeypatch, MachineMismatchError("seen", meaning="means", fix="type this", detail="first\nsecond"))
    assert run("any") == 7
    shown = capsys.readouterr()
    assert shown.err.splitlines() == ["error: seen", "  means", "  fix: type this", "    | first", "    | second"]
    assert shown.out == ""


def test_what_is_in_file_names_does_not_reach_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fail_with(
        monkeypatch, DamagedError("seen", meaning="means", fix="type this", detail="\tlib/\x1b]0;x\x07: is missing")
    )
    assert run("any") == 6
    assert capsys.readouterr().err.splitlines()[-1] == r"    |         lib/\x1b]0;x\x07: is missing"


def test_an_error_with_json_is_a_document(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    fail_with(monkeypatch, DamagedError("seen", meaning="means", fix="type this"))
    assert run("any", "--json") == 6
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == 1
    assert document["error"] == {
        "exit_code": 6,
        "what": "seen",
        "meaning": "means",
        "fix": "type this",
        "detail": "",
    }


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EIO])
def test_errors_of_the_system_are_explained(
    number: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fail_with(monkeypatch, OSError(number, "x", "/some/file"))
    assert run("any") == 1
    shown = capsys.readouterr().err
    assert "/some/file" in shown
    assert "Traceback" not in shown
    assert len(shown.splitlines()) == 3


def test_a_defect_shows_a_traceback_only_when_asked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fail_with(monkeypatch, ZeroDivisionError("oh"))
    assert run("any") == 1
    assert "Traceback" not in capsys.readouterr().err
    assert run("any", "-v") == 1
    assert "Traceback" in capsys.readouterr().err


def test_an_interrupt_is_no_traceback(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    fail_with(monkeypatch, KeyboardInterrupt())
    assert run("any") == 130
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [("bild", "--json"), ("build", "--json", "--portabel"), ("build", "--portabel", "--json")]
)
def test_a_wrong_command_line_with_json_is_a_document(
    arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*arguments) == 2
    assert json.loads(capsys.readouterr().out)["error"]["exit_code"] == 2


def aotpack(*arguments: str, stdout: int) -> subprocess.CompletedProcess[str]:
    """Run the command line as a process of its own, which ends as a user's does."""
    command = [sys.executable, "-m", "aotpack", *arguments]
    environment = {"PYTHONPATH": str(Path(cli.__file__).parents[2])}
    return subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, env=environment, text=True, check=False)


@pytest.mark.parametrize("arguments", [("--version",), ("doctor", "--list"), ("inspect", "/bin/sh", "--json")])
def test_an_output_that_takes_nothing_is_an_error_of_three_lines(arguments: tuple[str, ...]) -> None:
    with Path("/dev/full").open("w") as full:
        done = aotpack(*arguments, stdout=full.fileno())
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 3, done.stderr
    assert "no space left" in done.stderr


def test_a_reader_that_has_left_is_no_error_to_talk_about() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = aotpack("inspect", "/bin/sh", "--json", stdout=writer)
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (1, "")


def test_a_terminated_command_cleans_up(tmp_path: Path) -> None:
    probe = (
        "import click, pathlib, sys, time\n"
        "from aotpack import cli\n"
        "from aotpack.building import output_folder\n"
        "@click.command()\n"
        "def wait():\n"
        "    with output_folder.replacing(pathlib.Path(sys.argv[1])):\n"
        "        print('replacing', flush=True)\n"
        "        time.sleep(60)\n"
        "cli.LazyGroup.get_command = lambda *_: wait\n"
        "cli.main(['any'])\n"
    )
    environment = {"PYTHONPATH": str(Path(cli.__file__).parents[2])}
    command = [sys.executable, "-c", probe, str(tmp_path / "dist")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"replacing\n"
        process.terminate()
    assert process.returncode == 143
    assert list(tmp_path.iterdir()) == []


def test_every_error_class_has_its_own_exit_code() -> None:
    codes = [kind.exit_code for kind in AotpackError.__subclasses__()]
    assert sorted(codes) == [2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("completion", shell) == 0
    assert "_AOTPACK_COMPLETE" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("size", "shown"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (345_200_000, "345.2 MB"), (4_046_000_000, "4.05 GB")],
)
def test_human_size(size: int, shown: str) -> None:
    assert console.human_size(size) == shown


def test_the_forms_that_a_bundle_can_be_packed_in() -> None:
    from aotpack.cli import pack
    from aotpack.release import packing

    assert pack.FORMATS == packing.FORMATS


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize(("command", "code"), [("--help", 0), ("doctor --list", 0), ("inspect /nowhere", 2)])
def test_closed_streams_are_no_defect(command: str, code: int, closed: str) -> None:
    line = f"exec '{sys.executable}' -m aotpack {command} {closed}"
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    assert "defect" not in done.stderr
    assert "Traceback" not in done.stderr


def test_paths_that_are_no_text_are_written_with_escapes(tmp_path: Path) -> None:
    folder = make_bundle(Path(os.fsdecode(os.fsencode(tmp_path) + b"/a\nb\xff")))
    for arguments, code in ((["inspect"], 0), (["verify"], 0), (["doctor", "--bundle"], 6)):
        if code:
            (folder / "share/notes.txt").unlink()
        command = [sys.executable, "-m", "aotpack", *arguments, folder]
        done = subprocess.run(command, capture_output=True, check=False, env={**os.environ, "LC_ALL": "C.UTF-8"})
        assert done.returncode == code, done.stderr
    done = subprocess.run([sys.executable, "-m", "aotpack", "verify", folder], capture_output=True, check=False)
    assert done.returncode == 6
    assert len(done.stderr.splitlines()) == 4  # what is being done, and three lines
    assert b"a\\nb\\udcff: share/notes.txt: is missing" in done.stderr


@pytest.mark.parametrize(
    ("number", "word"), [(errno.ENOMEM, "memory"), (errno.EMFILE, "open files"), (errno.ENFILE, "open files")]
)
def test_what_runs_out_is_no_defect(
    number: int, word: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_with(monkeypatch, OSError(number, os.strerror(number), "some/file"))
    assert run("build") == 1
    assert word in capsys.readouterr().err.splitlines()[1]


def test_a_memory_error_is_no_defect(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    fail_with(monkeypatch, MemoryError())
    assert run("build") == 1
    assert "memory" in capsys.readouterr().err.splitlines()[1]
