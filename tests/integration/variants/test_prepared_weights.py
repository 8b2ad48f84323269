"""Weights of convolutions that oneDNN packed on another kind of CPU, in the full runtime.

Each process packs them for this one when it loads the model, or `aotrun prepare` does so once for all.
"""

from __future__ import annotations

import ctypes
import fcntl
import hashlib
import json
import os
import re
import resource
import shutil
import subprocess
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from aotpack.backend import Backend
from aotpack.building.build import build
from aotpack.building.request import BuildRequest
from aotpack.package.model import read_model
from aotpack.progress.reporter import Reporter
from tests.support.machines import isolation, seccomp
from tests.support.packages.exporting import cached_export
from tests.support.sharing import once

pytestmark = pytest.mark.xdist_group("prepared_weights")

#: By the kind of CPU that packed: a lesser one, and what makes libtorch and oneDNN take this machine for it.
LESSER: dict[str, tuple[str, dict[str, str]]] = {
    "AVX512": ("AVX2", {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"}),
    "AVX2": ("DEFAULT", {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41"}),
}
#: Sizes of the model's weights as oneDNN writes them.
WEIGHTS = {
    "128x3x3x3",
    "96x128x1x1",
    "512x128x1x1",
    "40x96x3x5",
    "64x40x3x3",
    "4x12x16x3x3",
    "48x1x1x3x3",
    "4x6x12x3x3",
    "30x24x3x3",
    "20x6x1x3x3",
}
#: Where a descriptor has no fields.
GAPS = ((108, 112), (316, 320), (420, 424))
#: Linux's numbers.
_FSYNC, _RENAME = 74, 82
_DAC_OVERRIDE, _DAC_READ_SEARCH, _CAPBSET_DROP = 1, 2, 24


@pytest.fixture(scope="module")
def package(backend_venv: Path) -> Path:
    # Code that both kinds run; the weights are packed by what the machine is.
    return cached_export(backend_venv, Path(__file__).with_name("convolutions.py"), cpu_isa="avx2")


@pytest.fixture(scope="module")
def bundles(package: Path, backend_venv: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """It in a bundle of each runtime."""

    def make(folder: Path) -> None:
        for runtime in ("slim", "full"):
            request = BuildRequest(
                backend=Backend.CPU,
                output=folder / runtime,
                models=(("convolutions", package),),
                portable=runtime == "slim",
                runtime=runtime,  # type: ignore[arg-type]
                venv=backend_venv,
            )
            build(request, Reporter())

    folder = once(tmp_path_factory, "prepared_weights", make)
    return {runtime: folder / runtime for runtime in ("slim", "full")}


@pytest.fixture(scope="module")
def bundle(bundles: dict[str, Path]) -> Path:
    return bundles["full"]


@pytest.fixture(scope="module")
def packed_on(package: Path) -> str:
    kind = read_model(package).metadata.packed_on
    if kind not in LESSER:
        pytest.skip(f"NO LESSER KIND OF CPU: oneDNN packed on {kind}")
    return str(kind)


@pytest.fixture(scope="module")
def lesser(packed_on: str) -> dict[str, str]:
    """Variables that make this machine one of another kind."""
    return LESSER[packed_on][1]


def aotrun(
    bundle: Path, *words: str | Path, before: Callable[[], None] | None = None, **variables: str
) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **variables}
    command = [str(bundle / "bin" / "aotrun"), *map(str, words)]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment, preexec_fn=before, timeout=120
    )


def prepared(bundle: Path, folder: Path, **variables: str) -> dict[str, Any]:
    """What `aotrun prepare` says of the only model."""
    done = aotrun(bundle, "prepare", "--output", folder, "--json", **variables)
    assert done.returncode == 0, done.stderr
    (told,) = json.loads(done.stdout)["models"]
    assert isinstance(told, dict)
    return told


def reorders(bundle: Path, calls: int, **variables: str) -> list[str]:
    """Each time that oneDNN brings a weight into another order: from the load to the last call."""
    words = ("bench", "--warmup", "0", "--iterations", str(calls))
    done = aotrun(bundle, *words, ONEDNN_VERBOSE="1", **variables)
    assert done.returncode == 0, done.stderr
    lines = re.findall(r"^onednn_verbose.*?exec,cpu,reorder,.*?,([0-9x]+),[0-9.e+-]+$", done.stdout, re.MULTILINE)
    assert re.search(r"^onednn_verbose.*exec,cpu,convolution", done.stdout, re.MULTILINE)
    return [sizes for sizes in lines if sizes in WEIGHTS]


def refused(done: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    assert done.returncode == code, (done.stdout, done.stderr)
    assert len(done.stderr.splitlines()) == 3
    for word in words:
        assert word in done.stderr


def test_a_package_says_how_its_convolutions_work(package: Path) -> None:
    model = read_model(package)
    packed = [constant for constant in model.metadata.constants if constant.layout is not None]
    assert len(packed) == len(WEIGHTS)
    forms = {}
    entry = next(entry for entry, place in model.members if place.endswith(".blob"))
    with zipfile.ZipFile(package) as archive:
        blob = archive.read(entry)
    for constant in packed:
        assert constant.convolution is not None
        assert constant.begin is not None
        assert constant.size is not None
        assert constant.sha256 == hashlib.sha256(blob[constant.begin : constant.begin + constant.size]).hexdigest()
        forms[constant.shape] = constant.convolution
        # Of two exports the same: oneDNN's own have pieces of addresses between their fields.
        layout = bytes.fromhex(model.metadata.layouts[constant.layout or 0])
        assert not any(any(layout[begin:end]) for begin, end in GAPS)
    assert forms[40, 96, 3, 5].stride == (2, 1)
    assert forms[40, 96, 3, 5].padding == (1, 2)
    assert forms[64, 40, 3, 3].dilation == (2, 2)
    assert forms[48, 16, 3, 3].groups == 4
    assert forms[128, 3, 3, 3].input == (2, 3, 18, 14)
    assert forms[24, 12, 3, 3].output_padding == (1, 1)  # output channels first, as oneDNN has them
    assert forms[24, 12, 3, 3].groups == 4
    assert forms[128, 3, 3, 3].output_padding is None
    assert forms[20, 6, 1, 3, 3].padding == (0, 1, 1)


def test_another_kind_of_cpu_packs_them_for_itself(bundle: Path, lesser: dict[str, str]) -> None:
    """Once, when it loads the model: no call brings a weight into another order. And it computes what eager does."""
    done = aotrun(bundle, "check", "--model", "convolutions", **lesser)
    assert done.returncode == 0, done.stderr
    assert "as recorded at export" in done.stdout
    assert not reorders(bundle, 3)
    once = reorders(bundle, 1, **lesser)
    assert set(once) <= WEIGHTS
    assert len(once) >= 4, "this kind reads nearly all in the other's order: nothing is shown"
    assert sorted(reorders(bundle, 6, **lesser)) == sorted(once)


@pytest.fixture
def other(bundle: Path) -> Iterator[Path]:
    """The model's folder as if another kind of CPU had packed its weights: one that packs as this machine does."""
    document = bundle / "models" / "convolutions" / "model.json"
    text = document.read_text()
    kind = json.loads(text)["packed_on"]
    document.write_text(text.replace(f'"{kind}"', f'"{"X" * len(kind)}"'))  # `check` compares sizes
    yield document.parent
    document.write_text(text)


def test_what_is_packed_anew_is_what_the_exporter_packed(bundle: Path, other: Path, tmp_path: Path) -> None:
    """Order by order, where the kind of CPU is the same but for its name: then the bundle's weights stay in use."""
    told = prepared(bundle, tmp_path)
    assert told["file"] is None
    assert "packed on XX" in told["reason"]
    assert "as they are" in told["reason"]
    done = aotrun(bundle, "bench", AOT_DEBUG="1")
    assert done.returncode == 0, done.stderr
    assert "in this process's memory" not in done.stderr
    assert other.name == "convolutions"


def test_the_order_follows_the_number_of_threads(bundle: Path, tmp_path: Path) -> None:
    """At export it is one, so that a package is the same wherever it is made. With more, calls bring some weights into
    another order, on the same kind of CPU as well, until they are prepared."""
    assert not reorders(bundle, 3, OMP_NUM_THREADS="1")
    two = {"OMP_NUM_THREADS": "2"}
    if not reorders(bundle, 1, **two):
        pytest.skip("NO ORDER OF TWO THREADS: this kind of CPU has one for all")
    done = aotrun(bundle, "prepare", "--threads", "2", "--output", tmp_path, "--json")
    assert done.returncode == 0, done.stderr
    (told,) = json.loads(done.stdout)["models"]
    assert 0 < told["weights"] < len(WEIGHTS)
    assert "-2-" in Path(told["file"]).name
    assert not reorders(bundle, 3, AOT_PREPARED=str(tmp_path), **two)
    done = aotrun(bundle, "check", "--model", "convolutions", AOT_PREPARED=str(tmp_path), **two)
    assert f"prepared weights of {told['file']}" in done.stdout, done.stderr
    assert "as recorded at export" in done.stdout
    done = aotrun(bundle, "bench", "--json", AOT_PREPARED=str(tmp_path))
    assert json.loads(done.stdout)["prepared"] == "", "with one thread it is none of these"


HOLD = """
import sys
import aotrun

model = aotrun.load(sys.argv[1])
model([[[[0.5] * 14] * 18] * 3] * 2)
print(model.prepared, flush=True)
sys.stdin.readline()
"""


def own_memory(smaps: str, path: str) -> tuple[int, int]:
    """kB of a mapped file that a process has in memory, and those of them that are copies of its own.

    Not `Private_Dirty`: to the kernel a page of the file that no disk has yet is that as well, as all of a tmpfs are.
    """
    resident = own = 0
    for block in re.split(r"^(?=[0-9a-f]+-[0-9a-f]+ )", smaps, flags=re.MULTILINE):
        if block.partition("\n")[0].endswith(path):
            fields = {name: int(value) for name, value in re.findall(r"^(\w+):\s+(\d+) kB$", block, re.MULTILINE)}
            resident += fields["Rss"]
            own += fields["Anonymous"]
    return resident, own


def test_processes_map_what_was_prepared(
    bundle: Path, lesser: dict[str, str], backend_python: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "new"
    told = prepared(bundle, folder, **lesser)
    assert [path.name for path in folder.iterdir()] == [Path(told["file"]).name]
    assert 4 <= told["weights"] <= len(WEIGHTS)
    assert not reorders(bundle, 3, AOT_PREPARED=str(folder), **lesser)
    done = aotrun(bundle, "check", "--model", "convolutions", AOT_PREPARED=str(folder), **lesser)
    assert done.returncode == 0, done.stderr
    assert "as recorded at export" in done.stdout
    assert f"prepared weights of {told['file']}" in done.stdout

    environment = {**os.environ, "PYTHONPATH": str(bundle / "runner"), "AOT_PREPARED": str(folder), **lesser}
    environment["OMP_NUM_THREADS"] = "1"  # as `aotrun` above
    command = [backend_python, "-c", HOLD, bundle]
    children = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
        for _ in range(2)
    ]
    try:
        for child in children:
            assert child.stdout is not None
            assert child.stdout.readline() == f"{told['file']}\n"
            resident, own = own_memory(Path(f"/proc/{child.pid}/smaps").read_text(), told["file"])
            assert resident * 1024 > told["bytes"] / 2
            assert own == 0
    finally:
        for child in children:
            child.communicate("\n")


def test_a_package_by_itself_is_prepared_as_well(
    bundle: Path, package: Path, lesser: dict[str, str], tmp_path: Path
) -> None:
    """It finds what was prepared for the bundle, since its weights are the same."""
    done = aotrun(bundle, "prepare", "--model", package, "--output", tmp_path, **lesser)
    assert done.returncode == 0, done.stderr
    assert f"AOT_PREPARED={tmp_path}" in done.stdout
    (file,) = tmp_path.iterdir()
    assert prepared(bundle, tmp_path, **lesser)["file"] == str(file)
    done = aotrun(bundle, "bench", "--model", package, "--json", AOT_PREPARED=str(tmp_path), **lesser)
    assert json.loads(done.stdout)["prepared"] == str(file)


def test_what_was_not_prepared_is_packed_in_memory(bundle: Path, lesser: dict[str, str], tmp_path: Path) -> None:
    """Also where the folder is for another kind of CPU: the same variables serve machines of all kinds."""
    for folder in (tmp_path, tmp_path / "nothing"):
        done = aotrun(bundle, "bench", "--json", AOT_PREPARED=str(folder), AOT_DEBUG="1", **lesser)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["prepared"] == ""
        assert "in this process's memory" in done.stderr
    prepared(bundle, tmp_path, **lesser)
    done = aotrun(bundle, "bench", "--json", AOT_PREPARED=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["prepared"] == ""


def test_who_needs_nothing_is_told_so(bundles: dict[str, Path], packed_on: str, tmp_path: Path) -> None:
    folder = tmp_path / "nothing"
    told = prepared(bundles["slim"], folder)
    assert told["file"] is None
    assert "the slim runtime reads one order of weights on every kind of CPU" in told["reason"]
    told = prepared(bundles["full"], folder)
    assert told["file"] is None
    assert f"packed on {packed_on}, suit this CPU" in told["reason"]
    assert not folder.exists()
    done = aotrun(bundles["slim"], "prepare", "--output", folder)
    assert done.returncode == 0, done.stderr
    assert "nothing to prepare, the slim runtime" in done.stdout
    refused(aotrun(bundles["slim"], "prepare"), 2, "no folder is named")


def test_a_package_that_does_not_say_how_its_convolutions_work(
    bundle: Path, lesser: dict[str, str], tmp_path: Path
) -> None:
    """It runs, with its weights in plain order, and cannot be prepared."""
    document = bundle / "models" / "convolutions" / "model.json"
    later = bundle / "models" / "later"
    text = document.read_text()
    told = json.loads(text)
    for constant in told["constants"]:
        constant.pop("convolution", None)
    try:
        document.write_text(json.dumps(told).ljust(len(text)))
        done = aotrun(bundle, "check", "--model", "convolutions", **lesser)
        assert done.returncode == 0, done.stderr
        done = aotrun(bundle, "prepare", "--output", tmp_path, **lesser)
        refused(done, 5, "cannot be prepared for this CPU", "an older aotpack", "Export the model again")
        # It is no reason to leave out the models after it.
        shutil.copytree(document.parent, later, symlinks=True)
        (later / "model.json").unlink()
        (later / "model.json").write_text(text)
        done = aotrun(bundle, "prepare", "--output", tmp_path, "--json", **lesser)
        refused(done, 5, "cannot be prepared for this CPU")
        assert [each["model"] for each in json.loads(done.stdout)["models"]] == ["later"]
        assert parts(tmp_path) == [".weights"]
        told["constants"] = [{**each, "convolution": {"stride": [0, 1]}} for each in told["constants"]]
        document.write_text(json.dumps(told))
        refused(aotrun(bundle, "bench", "--model", "convolutions", **lesser), 6, "a convolution cannot be as described")
    finally:
        shutil.rmtree(later, ignore_errors=True)
        document.write_text(text)


#: Each of some files in the place of one: the exit code and the error of loading the model with it.
TRY = """
import json, pathlib, shutil, sys
import aotrun

bundle, place, lies = sys.argv[1:]
told = {}
for lie in pathlib.Path(lies).iterdir():
    shutil.copy(lie, place)
    try:
        told[lie.name] = [0, aotrun.load(bundle).prepared]
    except aotrun.AotError as error:
        told[lie.name] = [error.exit_code, f"{error.what} {error.fix}"]
print(json.dumps(told))
"""


def test_a_file_that_is_not_what_it_should_be_is_refused(
    bundle: Path, packed_on: str, lesser: dict[str, str], backend_python: Path, tmp_path: Path
) -> None:
    """Rather than computed with, or passed over without a word: whoever named the folder counts on it."""
    path = Path(prepared(bundle, tmp_path, **lesser)["file"])
    content = path.read_bytes()
    kind = LESSER[packed_on][0].encode()
    begin, size = re.findall(rb'"begin": (\d+), "size": ([1-9]\d*)', content)[-1]
    lies = {
        "cut off": (content[:-4096], 6, "by its head"),
        "cut off in its head": (content[:300], 6, "fewer than its head"),
        "empty": (b"", 6, "does not begin as it should"),
        "something else": (b"x" * 5000, 6, "does not begin as it should"),
        "longer": (content + b"x", 6, "by its head"),
        "without a size": (content.replace(b" 1 000", b" 1 x00", 1), 6, "a head of no size"),
        "malformed": (content.replace(b'"cpu"', b'"CPU"', 1), 6, "malformed"),
        "of another kind": (content.replace(kind, b"X" * len(kind), 1), 5, "is for XXX"),
        "of other features": (re.sub(rb'("features": ")\w', rb"\1X", content, count=1), 5, "(X"),
        "of another torch": (content.replace(b'"torch": "2', b'"torch": "1'), 5, "and torch 1"),
        "of other contents": (re.sub(rb'("of": ")\w\w', rb"\1zz", content, count=1), 5, "made from other weights"),
        "a size": (
            content.replace(b'"size": ' + size + b"}", b'"size": ' + b"9" * len(size) + b"}"),
            6,
            "a weight of",
        ),
        "a place": (content.replace(b'"begin": ' + begin, b'"begin": ' + begin[:-1] + b"1"), 6, "has a weight of"),
    }
    if b'"features": ""' in content:
        del lies["of other features"]
    # The layouts in it are believed by oneDNN, and so held against the bytes that are there.
    head = content.index(b'"layout": "') + len(b'"layout": "')
    for at, number in ((320, 1 << 40), (8, 1 << 20), (112, 1 << 30), (304, 1 << 20)):
        lie = bytearray(content)
        lie[head + 2 * at : head + 2 * at + 16] = number.to_bytes(8, "little").hex().encode()
        lies[f"layout {at}"] = (bytes(lie), 6, "larger than it is")
    (tmp_path / "lies").mkdir()
    for name, (lie, _, _) in lies.items():
        (tmp_path / "lies" / name).write_bytes(lie)
    (tmp_path / "lies" / "the truth").write_bytes(content)
    environment = {**os.environ, "PYTHONPATH": str(bundle / "runner"), "AOT_PREPARED": str(tmp_path), **lesser}
    environment["OMP_NUM_THREADS"] = "1"
    command = [backend_python, "-c", TRY, bundle, path, tmp_path / "lies"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    told = json.loads(done.stdout)
    assert told.pop("the truth") == [0, str(path)]
    assert set(told) == set(lies)
    for name, (_, code, words) in lies.items():
        assert told[name][0] == code, (name, told[name])
        for word in (str(path), words, "aotrun prepare --output FOLDER" if code == 6 else "aotrun prepare"):
            assert word in told[name][1], (name, told[name])


#: Two threads are the model's, and one is the process's.
PREPARE_IN_A_THREAD = """
import json, sys, threading
import aotrun

model = aotrun.load(sys.argv[1], threads=2, prepared="")
told = [model.prepare(sys.argv[2])]
thread = threading.Thread(target=lambda: told.append(model.prepare(sys.argv[3])))
thread.start()
thread.join()
try:
    model.prepare("")
except aotrun.UsageError as error:
    told.append(error.what)
print(json.dumps(told))
"""


@pytest.fixture
def retrained(bundle: Path) -> Iterator[str]:
    """A model of the same code and sizes with other weights."""
    folder = bundle / "models" / "retrained"
    shutil.copytree(bundle / "models" / "convolutions", folder, symlinks=True)
    document = json.loads((folder / "model.json").read_text())
    constant = next(each for each in document["constants"] if "convolution" in each)
    blob = bytearray((folder / "weights.blob").read_bytes())
    begin, end = constant["begin"], constant["begin"] + constant["size"]
    blob[begin] ^= 1
    constant["sha256"] = hashlib.sha256(blob[begin:end]).hexdigest()
    (folder / "weights.blob").unlink()
    (folder / "weights.blob").write_bytes(blob)
    (folder / "model.json").unlink()
    (folder / "model.json").write_text(json.dumps(document))
    yield folder.name
    shutil.rmtree(folder)


def test_what_was_written_for_another_model_is_refused(
    bundle: Path, retrained: str, lesser: dict[str, str], tmp_path: Path
) -> None:
    """One folder serves all versions of a model: each finds its own file, and takes no other by its name."""
    done = aotrun(bundle, "prepare", "--output", tmp_path, "--json", **lesser)
    assert done.returncode == 0, done.stderr
    files = {model["model"]: Path(model["file"]) for model in json.loads(done.stdout)["models"]}
    assert sorted(tmp_path.iterdir()) == sorted(set(files.values()))
    assert len(files) == 2
    shutil.copy(files[retrained], files["convolutions"])
    done = aotrun(bundle, "bench", "--model", "convolutions", AOT_PREPARED=str(tmp_path), **lesser)
    refused(done, 5, "was made from other weights", str(files["convolutions"]), "aotrun prepare --output")
    done = aotrun(bundle, "bench", "--model", retrained, "--json", AOT_PREPARED=str(tmp_path), **lesser)
    assert json.loads(done.stdout)["prepared"] == str(files[retrained])


def parts(folder: Path) -> list[str]:
    return sorted(path.suffix for path in folder.iterdir())


@pytest.mark.parametrize("call", [_FSYNC, _RENAME])
def test_one_that_is_killed_leaves_nothing_that_is_taken(
    bundle: Path, lesser: dict[str, str], tmp_path: Path, call: int
) -> None:
    """With all bytes written, before or after they are safe on the disk: it has no name that anybody looks for."""
    done = aotrun(bundle, "prepare", "--output", tmp_path, before=lambda: seccomp.kill(call), **lesser)
    if done.returncode == seccomp.UNAVAILABLE:
        isolation.unproved("NO SECCOMP HERE: nothing ends a process at a system call")
    assert done.returncode < 0, done.stderr
    assert parts(tmp_path) == [".part"]
    done = aotrun(bundle, "bench", "--json", AOT_PREPARED=str(tmp_path), **lesser)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["prepared"] == ""
    prepared(bundle, tmp_path, **lesser)
    assert parts(tmp_path) == [".weights"], "what the killed one left is in the way, or stays"


def test_a_full_disk_and_a_folder_that_is_not_ours(bundle: Path, lesser: dict[str, str], tmp_path: Path) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))

    done = aotrun(bundle, "prepare", "--output", tmp_path, before=limit, **lesser)
    refused(done, 1, "cannot be written: File too large", "models load as without it")
    assert not parts(tmp_path)
    (tmp_path / "file").touch()
    done = aotrun(bundle, "prepare", "--output", tmp_path / "file", **lesser)
    refused(done, 1, "cannot be written: Not a directory")
    done = aotrun(bundle, "prepare", "--output", tmp_path / "no" / "such", **lesser)
    refused(done, 1, "cannot be written: No such file or directory")


def test_what_lies_in_the_way_is_neither_waited_for_nor_written_over(
    bundle: Path, lesser: dict[str, str], tmp_path: Path
) -> None:
    path = Path(prepared(bundle, tmp_path, **lesser)["file"])
    part = path.with_name(f"{path.name}.part")
    os.mkfifo(part)
    refused(aotrun(bundle, "prepare", "--output", tmp_path, **lesser), 1, str(part))
    reader = os.open(part, os.O_RDONLY | os.O_NONBLOCK)
    refused(aotrun(bundle, "prepare", "--output", tmp_path, **lesser), 1, f"{part} is not a file of its own")
    os.close(reader)
    part.unlink()
    other = tmp_path / "other"
    other.write_text("somebody's")
    part.hardlink_to(other)
    refused(aotrun(bundle, "prepare", "--output", tmp_path, **lesser), 1, f"{part} is not a file of its own")
    part.unlink()
    part.symlink_to(other)
    refused(aotrun(bundle, "prepare", "--output", tmp_path, **lesser), 1, str(part))
    assert other.read_text() == "somebody's"
    # Nor is what is to be read anything but a file.
    path.unlink()
    os.mkfifo(path)
    done = aotrun(bundle, "bench", AOT_PREPARED=str(tmp_path), **lesser)
    refused(done, 6, f"{path} is not a regular file", "aotrun prepare --output")


def test_a_file_that_this_user_may_not_read(bundle: Path, lesser: dict[str, str], tmp_path: Path) -> None:
    def without_rights_of_root() -> None:
        libc = ctypes.CDLL(None)
        for capability in (_DAC_OVERRIDE, _DAC_READ_SEARCH):
            libc.prctl(_CAPBSET_DROP, capability, 0, 0, 0)

    path = Path(prepared(bundle, tmp_path, **lesser)["file"])
    path.chmod(0)
    done = aotrun(bundle, "bench", before=without_rights_of_root, AOT_PREPARED=str(tmp_path), **lesser)
    refused(done, 7, f"{path} may not be read by this user", "chmod a+r")


def test_the_number_of_threads_is_the_models_in_every_thread(
    bundle: Path, backend_python: Path, tmp_path: Path
) -> None:
    """OpenMP has a number for each thread, and what is packed is for that of the thread that packs."""
    environment = {**os.environ, "PYTHONPATH": str(bundle / "runner"), "OMP_NUM_THREADS": "1"}
    command = [backend_python, "-c", PREPARE_IN_A_THREAD, bundle, tmp_path / "this", tmp_path / "other"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    this, other, nowhere = json.loads(done.stdout)
    assert nowhere == "folder is empty"
    if this["file"] is None:
        pytest.skip("NO ORDER OF TWO THREADS: this kind of CPU has one for all")
    assert other["weights"] == this["weights"]
    assert Path(other["file"]).read_bytes() == Path(this["file"]).read_bytes()


def test_a_model_without_convolutions_has_nothing_to_prepare(
    bundle: Path, backend_venv: Path, lesser: dict[str, str], tmp_path: Path
) -> None:
    package = cached_export(backend_venv, Path(__file__).with_name("linear.py"), cpu_isa="avx2")
    assert read_model(package).metadata.packed_on
    done = aotrun(bundle, "prepare", "--model", package, "--output", tmp_path, **lesser)
    assert done.returncode == 0, done.stderr
    assert "nothing to prepare, it has no convolutions" in done.stdout
    refused(aotrun(bundle, "prepare", "--output", ""), 2, "no folder is named")


def test_two_that_prepare_at_the_same_time(bundle: Path, lesser: dict[str, str], tmp_path: Path) -> None:
    path = Path(prepared(bundle, tmp_path, **lesser)["file"])
    inode = path.stat().st_ino
    with path.with_name(f"{path.name}.part").open("w") as busy:
        fcntl.flock(busy, fcntl.LOCK_EX)
        refused(aotrun(bundle, "prepare", "--output", tmp_path, **lesser), 1, "is being written by another process")
    # Written anew, processes that have mapped the older one keep it.
    prepared(bundle, tmp_path, **lesser)
    assert path.stat().st_ino != inode
    assert parts(tmp_path) == [".weights"]
