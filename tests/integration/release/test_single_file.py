"""A bundle that is one file: started in every way and place that a user may have for it."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from aotpack_doctor.base.single_file import SingleFile
from tests.integration.release.conftest import packed, tree
from tests.support.machines import isolation, seccomp

#: Linux's number of memfd_create.
_MEMFD_CREATE = {"x86_64": 319, "aarch64": 279}[os.uname().machine]


@pytest.fixture(scope="module")
def single(small: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle as one file, in a path with a space. Tests must not change it."""
    return packed(small, "file", tmp_path_factory.mktemp("a single file") / "mlp.aot").output


@pytest.fixture(scope="module")
def x(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("inputs") / "x.json"
    path.write_text(json.dumps({"data": [i / 128 for i in range(128)], "shape": [2, 64], "dtype": "float32"}))
    path.chmod(0o644)
    return path


def run(program: Path, *words: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [str(program), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, **options)


def outputs(done: subprocess.CompletedProcess[str]) -> object:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["outputs"]


def refused(done: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    assert done.returncode == code, done.stdout + done.stderr
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 3
    for word in words:
        assert word in done.stderr


def test_it_does_what_the_folder_does(single: Path, small: Path, x: Path) -> None:
    assert outputs(run(single, "infer", "--input", x)) == outputs(run(small / "bin" / "aotrun", "infer", "--input", x))
    for words in (["check", "--model", "mlp"], ["bench", "--iterations", "3"], ["doctor"], ["--version"]):
        done = run(single, *words)
        assert done.returncode == 0, done.stdout + done.stderr
    assert "--unpack DIR" in run(single, "--help").stdout
    info = json.loads(run(single, "info", "--json").stdout)
    assert info["path"] == str(single)
    assert list(info["models"]) == ["mlp"]
    wrong = run(single, "infer", "--model", "other", "--input", x)
    refused(wrong, 2, str(single))
    assert "/proc/self/fd" not in wrong.stderr


def test_it_gives_the_folder_back(single: Path, small: Path, tmp_path: Path) -> None:
    assert run(single, "--unpack", f"{tmp_path}/back/", umask=0o077).returncode == 0
    assert tree(tmp_path / "back") == tree(small)
    refused(run(single, "--unpack", tmp_path / "back"), 1, "left as it is")
    refused(run(single, "--unpack", tmp_path / "none" / "back"), 1, "does not exist")
    refused(run(single, "--unpack"), 2)
    assert [path.name for path in tmp_path.iterdir()] == ["back"]


def test_nothing_is_left_of_what_could_not_be_unpacked(single: Path, tmp_path: Path) -> None:
    """A limit on the size of files, which the weights' library does not keep."""
    import resource

    limit = (1 << 20, 1 << 20)
    done = run(
        single, "--unpack", tmp_path / "back", preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    )
    assert done.returncode != 0
    # The kernel ends a process that goes beyond it; a full disk, which says so, is another matter.
    assert not (tmp_path / "back").exists()


def test_it_unpacks_beside_what_another_of_its_pid_left(single: Path, tmp_path: Path) -> None:
    """As of a container that was ended in the middle: in the next one it has the same pid."""
    script = 'mkdir "$2.part-$$" && exec "$1" --unpack "$2"'
    assert run(Path("/bin/sh"), "-c", script, "sh", single, tmp_path / "back").returncode == 0
    assert (tmp_path / "back" / "bundle.json").exists()
    assert len(list(tmp_path.iterdir())) == 2


def test_several_copies_at_once_as_any_user_from_a_read_only_disk(single: Path, x: Path) -> None:
    """In a root with nothing but the file, /proc and the input."""
    box = isolation.mounted_root()
    words = [f"/bundle/{single.name}", "infer", "--input", "/x.json"]
    command = box.command(single.parent, words, [(x, "/x.json")], kernel=True)
    wanted = outputs(run(single, "infer", "--input", x))
    with ThreadPoolExecutor(4) as pool:
        for done in pool.map(lambda _index: run(Path(command[0]), *command[1:]), range(4)):
            assert outputs(done) == wanted
    if os.geteuid() == 0:
        isolation.need_open_root()
        with tempfile.TemporaryDirectory() as open_folder, x.open("rb") as stdin:
            Path(open_folder).chmod(0o755)
            shutil.copy(single, open_folder)
            options: dict[str, Any] = {"user": 65534, "group": 65534, "extra_groups": (), "stdin": stdin, "env": {}}
            assert outputs(run(Path(open_folder) / single.name, "infer", "--input", "-", **options)) == wanted


def test_a_file_that_was_renamed_or_replaced_while_it_runs(single: Path, x: Path, tmp_path: Path) -> None:
    """It holds on to the file that it was started from."""
    mine = tmp_path / "mlp.aot"
    mine.write_bytes(single.read_bytes())
    mine.chmod(0o755)
    with subprocess.Popen([mine, "infer", "--input", "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        mine.unlink()
        out, _ = process.communicate(x.read_bytes(), timeout=60)
    assert process.returncode == 0
    assert json.loads(out)["outputs"] == outputs(run(single, "infer", "--input", x))


def test_where_there_is_no_proc(single: Path) -> None:
    command = isolation.empty_root().command(single.parent, [f"/bundle/{single.name}", "info"])
    refused(run(Path(command[0]), *command[1:]), 7, "no /proc", "AOT_UNPACK=DIR")


def test_unpacking_where_nothing_can_be_written(single: Path) -> None:
    unpack = [f"/bundle/{single.name}", "--unpack", "/bundle/back"]
    command = isolation.mounted_root().command(single.parent, unpack)
    refused(run(Path(command[0]), *command[1:]), 1)


def forbid_memfd() -> None:
    """Let memfd_create fail with EPERM, as a container's seccomp profile may."""
    seccomp.answer(_MEMFD_CREATE, errno.EPERM)


def test_where_files_in_memory_are_forbidden(single: Path, x: Path, tmp_path: Path) -> None:
    done = run(single, "info", preexec_fn=forbid_memfd)
    if done.returncode == seccomp.UNAVAILABLE:
        isolation.unproved("NO SECCOMP HERE: nothing forbids a memfd")
    refused(done, 7, "a memfd is refused", "AOT_UNPACK=DIR")
    wanted = outputs(run(single, "infer", "--input", x))
    environment = {**os.environ, "AOT_UNPACK": str(tmp_path / "unpacked")}
    for _ in range(2):
        again = run(single, "infer", "--input", x, preexec_fn=forbid_memfd, env=environment)
        assert outputs(again) == wanted
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").touch()
    environment["AOT_UNPACK"] = str(tmp_path / "mine")
    refused(run(single, "info", env=environment), 1, "left as it is")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["file"]


def test_several_unpack_themselves_to_one_place(single: Path, x: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "AOT_UNPACK": str(tmp_path / "unpacked")}
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda _index: run(single, "infer", "--input", x, env=environment), range(4)))
    assert len({json.dumps(outputs(each)) for each in done}) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["unpacked"]


@pytest.mark.parametrize("size", [20_000, 65_600, 70_000, -1])
def test_a_truncated_file(single: Path, tmp_path: Path, size: int) -> None:
    short = tmp_path / "short.aot"
    short.write_bytes(single.read_bytes()[:size])
    short.chmod(0o755)
    refused(run(short, "info"), 6)


def altered(single: Path, target: Path, change: Callable[[bytearray], None]) -> Path:
    content = bytearray(single.read_bytes())
    change(content)
    target.write_bytes(content)
    target.chmod(0o755)
    return target


def test_a_changed_file(single: Path, tmp_path: Path) -> None:
    library = SingleFile(str(single)).entries["lib/libaot_slim.so"]

    def flip(content: bytearray) -> None:
        content[(library.offset or 0) + library.size // 2] ^= 1

    broken = altered(single, tmp_path / "broken.aot", flip)
    done = run(broken, "doctor", "--json")
    assert done.returncode == 6
    assert "lib/libaot_slim.so" in done.stdout
    verified = run(Path(sys.executable), "-m", "aotpack", "verify", broken)
    assert verified.returncode == 6
    assert "lib/libaot_slim.so" in verified.stderr


def test_a_changed_index(single: Path, tmp_path: Path) -> None:
    def point_elsewhere(content: bytearray) -> None:
        at = content.index(b"\tlibc/libc.so.6\n") - 40
        line = content.index(b"file\t", at)
        content[line + 9 : line + 29] = b"9" * 20

    broken = altered(single, tmp_path / "broken.aot", point_elsewhere)
    refused(run(broken, "info"), 6, "index")

    def move_the_model(content: bytearray) -> None:
        end = content.index(b"\tmodels/mlp/model.json\n")
        line = content.rindex(b"file\t", 0, end)
        content[line + 9 : line + 29] = b"%020d" % (len(content) + 5)

    moved = altered(single, tmp_path / "moved.aot", move_the_model)
    refused(run(moved, "check", "--model", "mlp"), 6, "models/mlp/model.json")


def test_verified_and_inspected_by_the_toolchain(single: Path, small: Path) -> None:
    aotpack: Sequence[str] = (sys.executable, "-m", "aotpack")
    done = run(Path(aotpack[0]), *aotpack[1:], "verify", single, "--run", "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert (document["whole"], list(document["run"]["models"])) == (True, ["mlp"])
    assert "portable bundle" in run(Path(aotpack[0]), *aotpack[1:], "inspect", single).stdout
    assert run(Path(aotpack[0]), *aotpack[1:], "inspect", "--sbom", single).returncode == 0
    assert run(Path(aotpack[0]), *aotpack[1:], "verify", small, "--digest", document["digest"]).returncode == 0


def test_its_libraries_are_shared_once_they_are_loaded(single: Path, x: Path, tmp_path: Path) -> None:
    """A process gives back what it holds of them; what runs from then on runs from the file."""
    script = """
import json, sys
from aotpack_doctor.base import sharing, single_file
from aotrun.library import bundle
from aotrun import load
def held():
    lines = open("/proc/self/smaps").read().split("\\n")
    total, counts = 0, False
    for line in lines:
        if "-" in line.split(" ")[0]: counts = "/memfd:" in line
        elif counts and line.startswith("Pss:"): total += int(line.split()[1])
    return total
model = load(bundle.model_folder(bundle.HERE, None))
before = held()
done = sharing.share(single_file.inside(bundle.HERE)[0])
after = held()
y = model(memoryview(bytes(2 * 64 * 4)).cast("f", (2, 64))).tolist()
print(json.dumps([before, after, done, y]))
"""
    program = tmp_path / "program.py"
    program.write_text(script)
    # The launcher's interpreter, told to run a script of this test's in place of the runner.
    done = run(single, "infer", "--input", x)
    assert done.returncode == 0
    code = f"exec(open({str(program)!r}).read())"
    started = started_as_the_launcher_does(single, code)
    before, after, shared, y = json.loads(started)
    assert shared > 3 << 20
    assert after < before / 2, (before, after)
    assert len(y) == 2


def test_its_assets_are_read_where_they_lie(single: Path) -> None:
    code = """
from aotrun import UsageError, load
from aotrun.library import bundle
model = load(bundle.HERE)
print(model.asset("words/greeting.txt").decode(), model.metadata["sample_rate"])
for name in ("words", "none", "../bundle.json"):
    try:
        model.asset(name)
    except UsageError:
        print("refused")
"""
    assert started_as_the_launcher_does(single, code).split() == ["hello", "16000", *["refused"] * 3]


def started_as_the_launcher_does(single: Path, code: str) -> str:
    """The output of Python code in an interpreter that was started from the single file."""
    file = SingleFile(str(single))
    index = [
        line.split("\t")
        for line in single.read_bytes()[65536:].split(b"\0", 1)[0].decode("utf-8", "replace").split("\n")
    ]

    def in_memory(path: str) -> str:
        descriptor = os.memfd_create(Path(path).name, 0)
        os.write(descriptor, file.read(path))
        return f"/proc/self/fd/{descriptor}"

    roles = {role: [words[1] for words in index if words[0] == role] for role in ("loader", "program", "preload")}
    loader, program = in_memory(roles["loader"][0]), in_memory(roles["program"][0])
    preloads = ":".join(map(in_memory, roles["preload"]))
    descriptor = os.open(single, os.O_RDONLY)
    os.set_inheritable(descriptor, True)
    root = f"/proc/self/fd/{descriptor}"
    boot = (
        f"import sys;sys.path[:]=[p for p in sys.path if p];sys.path.insert(0,'{root}/runner')\n"
        f"from aotpack_doctor.base import in_memory;in_memory.install('{root}')\n{code}"
    )
    done = subprocess.run(
        [loader, "--preload", preloads, program, "-s", "-S", "-B", "-X", "utf8", "-c", boot],
        capture_output=True,
        text=True,
        check=False,
        close_fds=False,
        env={"PYTHONHOME": f"{root}/python"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
