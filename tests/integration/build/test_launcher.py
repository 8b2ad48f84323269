"""bin/aotrun: started every way a user may, in places that lack everything."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from aotpack.elf.facts import read_elf
from aotpack.errors import BuildToolError
from aotpack.native import launcher
from aotpack.native.launcher import build_launcher
from aotpack.tools.sandbox import INSIDE
from tests.support.bundles.bare_bundle import assemble
from tests.support.machines import isolation


@pytest.fixture(scope="module")
def bare(backend_venv: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with a probe for a runner, in a path with a space. Tests must not change it."""
    return assemble(tmp_path_factory.mktemp("bare") / "a bundle", backend_venv / "bin" / "python3")


@pytest.fixture
def broken(bare: Path, tmp_path: Path) -> Path:
    """A copy to take things away from."""
    return Path(shutil.copytree(bare, tmp_path / "broken", symlinks=True))


def run(*command: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*map(str, command)], capture_output=True, text=True, check=False, timeout=60, **options)


def seen(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """What the probe saw."""
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    document = json.loads(done.stdout)
    assert isinstance(document, dict)
    return document


def refused(done: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    assert done.returncode == code, done.stdout + done.stderr
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 3
    assert done.stdout == ""
    for word in words:
        assert word in done.stderr


def environment(**more: str) -> Mapping[str, str]:
    return {"PATH": os.environ["PATH"], **more}


def test_is_static_and_needs_nothing() -> None:
    elf = read_elf(build_launcher())
    assert (elf.interpreter, elf.needed, elf.executable_stack) == (None, (), False)


def test_is_compiled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    first = build_launcher()
    monkeypatch.setattr(launcher, "run_tool", lambda _command: pytest.fail("compiled again"))
    assert build_launcher() == first


def test_missing_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(BuildToolError, match="no-such-compiler"):
        build_launcher()


def test_passes_arguments_and_keeps_the_working_directory(bare: Path, tmp_path: Path) -> None:
    words = ["infer", "--input", "", "a b", "ü", '"', "x=" + "y" * 100_000]
    probe = seen(run(bare / "bin" / "aotrun", *words, cwd=tmp_path))
    assert probe["argv"] == words
    assert probe["cwd"] == str(tmp_path)
    assert probe["flags"] == [1, 1, 1, 1]
    assert all(entry.startswith(str(bare / "python")) for entry in probe["path"][1:])


def test_through_links_and_relative_paths(bare: Path, tmp_path: Path) -> None:
    absolute, relative, chain = tmp_path / "absolute", tmp_path / "relative", tmp_path / "chain"
    absolute.symlink_to(bare / "bin" / "aotrun")
    relative.symlink_to(os.path.relpath(bare / "bin" / "aotrun", tmp_path))
    chain.symlink_to("relative")
    folder = tmp_path / "folder"
    folder.symlink_to(bare / "bin")
    for program, cwd in (
        (str(absolute), tmp_path),
        (str(relative), Path("/")),
        ("./chain", tmp_path),
        (f"{folder}/aotrun", tmp_path),
        ("./aotrun", bare / "bin"),
        (".././bin/aotrun", bare / "libc"),
    ):
        assert seen(run(program, cwd=cwd))["prefix"] == str(bare / "python"), program


def test_from_path(bare: Path) -> None:
    done = run("aotrun", "x", env={"PATH": str(bare / "bin")}, executable=str(bare / "bin" / "aotrun"))
    assert seen(done)["argv"] == ["x"]


def in_sandbox(root: Path, arguments: Sequence[str], extra: Sequence[tuple[Path, str]] = ()) -> list[str]:
    box = isolation.empty_root()
    return box.command(root, arguments, extra)


def test_in_an_empty_read_only_root_without_proc(bare: Path) -> None:
    probe = seen(run(*in_sandbox(bare, [f"{INSIDE}/bin/aotrun", "x"])))
    assert (probe["argv"], probe["prefix"], probe["cwd"]) == (["x"], f"{INSIDE}/python", "/")


def test_through_a_link_without_proc(bare: Path, tmp_path: Path) -> None:
    links = tmp_path / "links"
    links.mkdir()
    (links / "first").symlink_to("second")
    (links / "second").symlink_to(f"..{INSIDE}/bin/aotrun")
    probe = seen(run(*in_sandbox(bare, ["/links/first"], [(links, "/links")])))
    assert probe["prefix"] == f"{INSIDE}/python"


def test_as_the_root_of_the_file_system(bare: Path) -> None:
    bubblewrap = shutil.which("bwrap")
    if bubblewrap is None:
        isolation.no_namespaces("bubblewrap is not installed")
    done = run(bubblewrap, "--unshare-all", "--clearenv", "--ro-bind", bare, "/", "--chdir", "/", "/bin/aotrun")
    if "No permissions to create new namespace" in done.stderr:
        isolation.no_namespaces(done.stderr.strip())
    assert seen(done)["prefix"] == "/python"


def test_hostile_environment(bare: Path, tmp_path: Path) -> None:
    (tmp_path / "libc.so.6").write_bytes(b"no library")
    (tmp_path / "json.py").write_text("raise SystemExit('hijacked')")
    hostile = {
        "LD_LIBRARY_PATH": str(tmp_path),
        "LD_PRELOAD": str(tmp_path / "missing.so"),
        "LD_AUDIT": str(tmp_path / "missing.so"),
        "PYTHONPATH": str(tmp_path),
        "PYTHONHOME": str(tmp_path),
        "PYTHONSTARTUP": str(tmp_path / "json.py"),
        "GLIBC_TUNABLES": "glibc.malloc.check=3",
        "MALLOC_PERTURB_": "7",
        "GCONV_PATH": str(tmp_path),
        "LOCPATH": str(tmp_path),
    }
    harmless = {"OMP_NUM_THREADS": "3", "AOT_DEBUG": "0", "HOME": str(tmp_path), "EMPTY": "", "XLD_PRELOAD": "kept"}
    probe = seen(run(bare / "bin" / "aotrun", env=environment(**hostile, **harmless), cwd=tmp_path))
    kept = probe["environment"]
    assert not set(hostile) & set(kept)
    assert {name: kept[name] for name in harmless} == harmless
    told = {name for name in kept if name.startswith("ld_")}
    assert told == {"ld_library_path", "ld_preload"}, "for the doctor; in lower case they mean nothing to a loader"
    assert (kept["ld_library_path"], kept["ld_preload"]) == (hostile["LD_LIBRARY_PATH"], hostile["LD_PRELOAD"])


def test_what_the_launcher_tells_comes_from_itself(bare: Path) -> None:
    longest = "/x:" * 40_000
    probe = seen(run(bare / "bin" / "aotrun", env=environment(ld_preload="/x.so", LD_LIBRARY_PATH=longest)))
    assert "ld_preload" not in probe["environment"]
    assert probe["environment"]["ld_library_path"] == longest


def test_exit_code_and_signals_are_those_of_the_runner(broken: Path) -> None:
    main = broken / "runner" / "aotrun" / "__main__.py"
    main.write_text("raise SystemExit(42)")
    assert run(broken / "bin" / "aotrun").returncode == 42
    main.write_text("import os; os.kill(os.getpid(), 15)")
    assert run(broken / "bin" / "aotrun").returncode == -15


@pytest.mark.parametrize(
    ("missing", "word"),
    [
        ("runner/aotrun/__main__.py", "missing runner"),
        ("python/bin/python3", "missing interpreter"),
        ("libc/ld-linux-x86-64.so.2", "missing loader"),
    ],
)
def test_incomplete_bundle(broken: Path, missing: str, word: str) -> None:
    (broken / missing).unlink()
    refused(run(broken / "bin" / "aotrun"), 6, word, missing)


def test_moved_out_of_its_bundle(bare: Path, tmp_path: Path) -> None:
    alone = tmp_path / "bin" / "aotrun"
    alone.parent.mkdir()
    shutil.copy(bare / "bin" / "aotrun", alone)
    refused(run(alone), 6, "missing runner")


def test_path_that_the_loader_splits(bare: Path, tmp_path: Path) -> None:
    moved = shutil.copytree(bare, tmp_path / "a:b", symlinks=True)
    refused(run(Path(moved) / "bin" / "aotrun"), 7, "a:b")


def test_interpreter_without_execute_permission(broken: Path) -> None:
    (broken / "libc" / "ld-linux-x86-64.so.2").chmod(0o644)
    refused(run(broken / "bin" / "aotrun"), 7, "not allowed to execute")


def test_without_libc_the_host_loads_the_interpreter(broken: Path) -> None:
    shutil.rmtree(broken / "libc")
    probe = seen(run(broken / "bin" / "aotrun", "x", env=environment(LD_PRELOAD="/missing.so")))
    assert probe["prefix"] == str(broken / "python")


def test_without_libc_on_a_machine_that_has_none(broken: Path) -> None:
    shutil.rmtree(broken / "libc")
    refused(run(*in_sandbox(broken, [f"{INSIDE}/bin/aotrun"])), 7, "cannot execute", "--libc bundled")


def test_without_python_the_one_on_path_runs(broken: Path, backend_venv: Path) -> None:
    shutil.rmtree(broken / "python")
    folders = f"/nonexistent::{backend_venv}/bin"
    probe = seen(run(broken / "bin" / "aotrun", "x", env={"PATH": folders, "PYTHONPATH": "/nonexistent"}))
    assert probe["argv"] == ["x"]
    assert probe["executable"] == str(backend_venv / "bin" / "python3")


def test_without_python_anywhere(broken: Path) -> None:
    shutil.rmtree(broken / "python")
    refused(run(broken / "bin" / "aotrun", env={"PATH": "/nonexistent"}), 7, "no python3 on PATH")
    refused(run(*in_sandbox(broken, [f"{INSIDE}/bin/aotrun"])), 7, "no python3 on PATH")
