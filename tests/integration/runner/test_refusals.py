"""What a system refuses to a healthy bundle: it is told apart from damage, and from a libc that is too new."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from aotpack.backend import Backend
from aotpack.building.build import build
from aotpack.building.request import BuildRequest
from aotpack.progress.reporter import Reporter
from tests.support.machines import isolation

DAMAGE = ("damaged", "missing", "Copy the whole bundle", "newer", "older system")


@pytest.fixture(scope="module")
def slim(backend_venv: Path, exported: Callable[..., Path]) -> Iterator[Path]:
    """A portable bundle of the slim runtime in a folder that everybody may enter."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        model = exported("mlp")
        output = Path(folder) / "bundle"
        request = BuildRequest(
            backend=Backend.CPU, output=output, models=(("mlp", model),), portable=True, venv=backend_venv
        )
        build(request, Reporter())
        shutil.copyfile(output / "models/mlp/sample.npz", Path(folder) / "sample.npz")
        yield output


def shell(line: str, bundle: Path, *, nobody: bool = False) -> subprocess.CompletedProcess[str]:
    """Run a line with `$B` for the bundle's command line."""
    if nobody:
        isolation.need_open_root()
    environment = {**os.environ, "B": str(bundle / "bin/aotrun"), "OMP_NUM_THREADS": "1"}
    command = ["setpriv", "--reuid", "65534", "--clear-groups"] if nobody else []
    return subprocess.run(
        [*command, "/bin/sh", "-c", line], capture_output=True, text=True, check=False, env=environment, cwd="/"
    )


def told(done: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    lines = done.stderr.splitlines()
    assert done.returncode == code, done.stdout + done.stderr
    assert len(lines) == 3, done.stderr
    assert lines[0].startswith("error: ")
    for word in words:
        assert word in done.stderr
    for word in DAMAGE:
        assert word not in done.stderr


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("ulimit -v 15000; exec $B bench", "memory"),
        ("ulimit -n 3; exec $B info", "open files"),
    ],
)
def test_what_runs_out_is_no_damage(line: str, word: str, slim: Path) -> None:
    told(shell(line, slim), 1, word)


CLOSED = ("lib/libaot_bridge.so", "lib", "models/mlp/model.json", "models/mlp/model.so", "python", "python/bin")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become nobody")
@pytest.mark.parametrize("path", CLOSED)
def test_what_this_user_may_not_read_is_no_damage(path: str, slim: Path) -> None:
    mode = (slim / path).stat().st_mode
    (slim / path).chmod(0o700 if (slim / path).is_dir() else 0o600)
    try:
        told(shell("exec $B bench --iterations 1 --warmup 0", slim, nobody=True), 7, "chmod -R a+rX BUNDLE")
    finally:
        (slim / path).chmod(mode)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become nobody")
def test_check_and_the_doctor_on_what_this_user_may_not_read(slim: Path) -> None:
    for path, checks in (("bundle.json", 3), ("models/mlp/model.json", 1)):
        (slim / path).chmod(0o600)
        try:
            done = shell("exec $B check --model mlp", slim, nobody=True)
            assert done.returncode == 7
            assert done.stderr.count("Permission denied") >= checks
            done = shell("exec $B doctor", slim, nobody=True)
            assert done.returncode == 7
            assert "AP606" in done.stdout
            assert "AP50" not in done.stdout
        finally:
            (slim / path).chmod(0o644)


def test_a_mount_that_forbids_execution(slim: Path) -> None:
    """The launcher does not start there, but a program that embeds the bundle, or another Python, does."""
    line = (
        "mount -t tmpfs -o noexec tmpfs /mnt && cp -a $(dirname $(dirname $B)) /mnt/bundle && "
        "exec python3 /mnt/bundle/runner/aotrun info"
    )
    done = shell(f"exec unshare --mount /bin/sh -c '{line}'", slim)
    if "unshare" in done.stderr or "mount:" in done.stderr:
        pytest.skip("THIS MACHINE DOES NOT LET ITS ROOT MOUNT: a noexec mount is not tested")
    told(done, 7, "noexec", "findmnt -T BUNDLE")


def test_an_honest_package_of_another_runtime_is_a_mismatch(slim: Path, plain_mlp: Path) -> None:
    done = shell(f"exec $B info --model '{plain_mlp}'", slim)
    told(done, 5, f"{plain_mlp} needs libtorch_cpu.so", "--runtime full")


def test_check_says_that_it_compares_no_contents(slim: Path) -> None:
    done = shell("exec $B check", slim)
    assert done.returncode == 0, done.stderr
    assert "contents are compared by: aotrun doctor" in done.stdout


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("command", ["info", "check --model mlp", "bench --iterations 1", "doctor --quick", "--help"])
def test_closed_streams_are_no_defect(command: str, closed: str, slim: Path) -> None:
    done = shell(f"exec $B {command} {closed}", slim)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert "defect" not in done.stderr


def test_a_closed_stream_is_nothing_to_read_and_nowhere_to_write(slim: Path) -> None:
    told(shell("exec $B infer --input - <&-", slim), 2, "standard input: is a device")
    told(shell("printf '' | $B infer --input -", slim), 2, "standard input: empty")
    # An error goes nowhere, and not to where the outputs go.
    done = shell("exec $B nope 2>&-", slim)
    assert (done.returncode, done.stdout) == (2, "")


def test_a_bundle_whose_path_is_no_text(slim: Path, tmp_path: Path) -> None:
    strange = os.fsdecode(os.fsencode(tmp_path) + b"/a\nb\xff")
    shutil.copytree(slim, strange, symlinks=True, copy_function=os.link)
    (Path(strange) / os.fsdecode(b"lib/x\n\xfe")).touch()
    launcher = f"{strange}/bin/aotrun"
    for command in ("info", "check --model mlp", "doctor", "doctor --json", "info --json"):
        done = subprocess.run([launcher, *command.split()], capture_output=True, check=False, cwd="/")
        assert done.returncode == 0, done.stderr
        assert b"Traceback" not in done.stderr
    done = subprocess.run([launcher, "doctor"], capture_output=True, check=False, cwd="/")
    assert b"AP503" in done.stdout
    assert b"lib/x\\n\\udcfe" in done.stdout
    missing = subprocess.run(
        [f"{strange}/bin/aotrun", "infer", "--input", "a\nb.npy"], capture_output=True, check=False
    )
    assert missing.returncode == 2
    assert missing.stderr.startswith(b"error: a\\nb.npy: No such file")
    assert len(missing.stderr.splitlines()) == 3
