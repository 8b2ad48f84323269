"""`aotpack doctor` and `aotrun doctor` as a user meets them."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import jsonschema
import pytest

import aotpack
from aotpack import resources
from aotpack.bundle.manifest import FileRecord
from aotpack.diagnosing import html_report
from aotpack.native.launcher import build_hashes
from aotpack.tools import sandbox
from aotpack_doctor import on_target
from aotpack_doctor.findings.checks import bundle
from tests.support.doubles.doctor_machine import Machine, make_machine
from tests.support.doubles.torch_trees import make_torch_venv
from tests.support.machines import isolation

SCHEMA = json.loads((resources.SCHEMAS / "findings.schema.json").read_text())
Done = subprocess.CompletedProcess[str]


def doctor(*words: str | Path, cwd: Path, text: str = "", env: dict[str, str] | None = None) -> Done:
    source = str(Path(aotpack.__file__).parents[1])
    clean = {
        name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "CONDA_PREFIX", "LIBTORCH")
    }
    return subprocess.run(
        [sys.executable, "-m", "aotpack", "doctor", *map(str, words)],
        cwd=cwd,
        env={**clean, "PYTHONPATH": source, **(env or {})},
        input=text,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = make_torch_venv(tmp_path / ".venv")
    (root / "__init__.py").write_text("raise SystemExit('torch was imported')\n")
    return tmp_path


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    return make_machine(tmp_path_factory.mktemp("machine"), "cpu")


# ---- on the build machine --------------------------------------------------------------------------------------


def test_it_imports_no_torch(project: Path) -> None:
    done = doctor(cwd=project)
    assert done.returncode == 0, done.stdout
    assert "2.13.0+cpu (cpu) from .venv" in done.stdout
    assert done.stderr == ""


def test_the_exit_code_is_that_of_the_worst_class(project: Path) -> None:
    done = doctor("--backend", "cuda", "--json", cwd=project)
    assert done.returncode == 3
    document = json.loads(done.stdout)
    jsonschema.validate(document, SCHEMA)
    first = document["findings"][0]
    assert (first["code"], first["severity"]) == ("AP202", "error")
    assert "2.13.0+cpu (cpu) does not serve cuda" in first["seen"]
    assert first["fix"] == ["aotpack init --backend cuda"]


def test_the_right_environment_is_named_when_the_wrong_one_is_used(project: Path) -> None:
    make_torch_venv(project / ".venv-special", "cuda", "2.12.0+cu128", cuda="12.8")
    done = doctor("--backend", "cuda", "--json", cwd=project)
    assert json.loads(done.stdout)["findings"][0]["fix"][0].startswith(
        f"aotpack build --backend cuda --venv {project / '.venv-special'}"
    )


def test_explain(project: Path) -> None:
    done = doctor("--explain", "-", cwd=project, text="./x: version `GLIBC_2.38' not found (required by ./x)\n")
    assert done.returncode == 7
    assert done.stdout.startswith("error AP601")
    unknown = doctor("--explain", "-", cwd=project, text="my cat sat on it")
    assert unknown.returncode == 2
    assert len(unknown.stderr.splitlines()) == 3


# ---- a bundle --------------------------------------------------------------------------------------------------


def test_a_large_bundle_is_looked_at_quickly(machine: Machine) -> None:
    records = machine.records()
    large = machine.bundle / "models/mlp/weights.blob"
    large.touch()
    os.truncate(large, 4_000_000_000)
    blob = FileRecord(path="models/mlp/weights.blob", part="model", reason="test", size=4_000_000_000, sha256="0" * 64)
    machine.seal(files=(*records, blob))
    done = doctor("--bundle", machine.bundle, "--quick", "--json", cwd=machine.project)
    assert "AP501" not in done.stdout
    large.unlink()
    machine.seal(files=tuple(records))


@pytest.mark.parametrize("damage", [True, False])
def test_progress_leaves_nothing_on_a_terminal(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: bool
) -> None:
    copy = shutil.copytree(machine.bundle, tmp_path / "copy", symlinks=True)
    if damage:
        (copy / "models/mlp/model.so").unlink()  # so that the count does not reach the total
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stderr", terminal)
    assert on_target.main([], str(copy)) == (6 if damage else 0)
    said = terminal.getvalue()
    assert re.search(r"comparing contents of 0 MB: \d+ %", said)
    assert said.endswith("\r\033[K")
    assert ("100 %" in said) == (not damage)


def test_a_real_mount_that_forbids_execution(machine: Machine, tmp_path: Path) -> None:
    """The kernel then also denies what a file's own permissions allow, which is no finding of its own."""
    script = 'mount -t tmpfs -o noexec tmpfs "$1" && cp -a "$2/." "$1" && cd "$3" && shift 3 && exec "$@"'
    looks = [sys.executable, "-m", "aotpack", "doctor", "--bundle", tmp_path, "--quick", "--json"]
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-ec", script, "sh", tmp_path, machine.bundle, machine.project, *looks],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path(aotpack.__file__).parents[1])},
    )
    if done.returncode == 1 or "unshare" in done.stderr:
        isolation.no_namespaces(done.stderr.strip())
    assert done.returncode == 7, done.stdout + done.stderr
    found = {each["code"]: each["seen"] for each in json.loads(done.stdout)["findings"]}
    assert found.keys() & {"AP605", "AP606"} == {"AP605"}
    assert found["AP605"] == f"{tmp_path} is on {tmp_path}, mounted noexec"


def test_the_page(machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    facts = machine.facts()
    assert facts.bundle is not None
    home = str(tmp_path.parent / "zaphod-b")
    monkeypatch.setenv("HOME", home)
    monkeypatch.setenv("USER", "tricia.m")
    monkeypatch.setattr(socket, "gethostname", lambda: "heart-of-gold.example.org")
    sizes = (*facts.bundle.sizes, ("models/tricia.m/model.so", "model", 1000))
    edges = (*facts.bundle.edges, ("models/tricia.m/model.so", "lib/libhelper.so"))
    facts = facts._replace(bundle=facts.bundle._replace(path=f"{home}/b", sizes=sizes, edges=edges))
    seen = f"{home}/x of tricia.m at heart-of-gold.example.org, /home/ford/y & <b>"
    named, clean = (
        html_report.page(facts, [bundle.CHANGED.found(seen, f"rsync {home}/x ~tricia.m/")], with_names=names)
        for names in (True, False)
    )
    for word in (home, "zaphod-b", "tricia.m", "heart-of-gold", "ford"):
        assert word in named
        assert word not in clean
    assert "&amp; &lt;b&gt;" in clean
    assert "http" not in re.sub(r"https://www\.nvidia\.com\S*", "", clean), "it must be readable offline"
    assert "docs/doctor.md#ap501" in clean
    assert "1 error. Next: rsync ~/x" in clean
    drawings = re.findall(r"<svg.*?</svg>", clean, re.DOTALL)
    assert len(drawings) == 2
    tiles, graph = (ET.fromstring(drawing) for drawing in drawings)  # noqa: S314  (our own)
    assert len(tiles.findall(".//rect")) == sum(size > 0 for _path, _part, size in sizes)
    assert "libaot_bridge.so" in "".join(graph.itertext())


def test_the_graph_leaves_out_what_follows() -> None:
    chain = [("a", "b"), ("b", "c"), ("a", "c"), ("c", "d"), ("a", "d"), ("b", "d")]
    assert html_report.direct(chain) == [("a", "b"), ("b", "c"), ("c", "d")]
    cycle = [("a", "b"), ("b", "a"), ("c", "a"), ("c", "b"), ("a", "a")]
    assert html_report.direct(cycle) == [("a", "b"), ("b", "a"), ("c", "a"), ("c", "b")]


def test_the_page_from_the_command_line(machine: Machine, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    done = doctor("--bundle", machine.bundle, "--json", "--report", page, cwd=machine.project)
    jsonschema.validate(json.loads(done.stdout), SCHEMA)
    assert page.read_text().startswith("<!doctype html>")


# ---- on a target -----------------------------------------------------------------------------------------------


def test_aotrun_doctor_in_an_empty_root(portable: Path) -> None:
    box = isolation.empty_root()
    done = subprocess.run(
        box.command(portable, [f"{sandbox.INSIDE}/bin/aotrun", "doctor", "--json"]),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    document = json.loads(done.stdout)
    jsonschema.validate(document, SCHEMA)
    assert document["findings"] == []


def test_aotrun_doctor_finds_damage(portable: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(portable, copy, symlinks=True, copy_function=os.link)
    victim = copy / "models/mlp/model.json"
    content = victim.read_bytes()
    victim.unlink()  # a hard link so far
    victim.write_bytes(content.replace(b"float32", b"float64", 1))
    (copy / "lib/odd.so").write_bytes(b"\x7fELF")
    done = subprocess.run([copy / "bin/aotrun", "doctor", "--json"], capture_output=True, text=True, check=False)
    assert done.returncode == 6
    assert [each["code"] for each in json.loads(done.stdout)["findings"]] == ["AP501", "AP503"]
    quick = subprocess.run([copy / "bin/aotrun", "doctor", "--quick"], capture_output=True, text=True, check=False)
    assert quick.returncode == 0, "same sizes"
    assert "warning AP503" in quick.stdout


def test_what_a_finding_links_to_is_readable_on_the_target(portable: Path) -> None:
    done = subprocess.run(
        [portable / "bin/aotrun", "doctor", "--explain", "AP603"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("AP603\n\n**This CPU lacks instructions that the bundle uses.**")
    assert len(done.stdout.split()) > 30
    broken = "error: /b/lib/libx.so: Too many open files\nThis process may have no more open files.\nSee: ulimit -a.\n"
    command = [portable / "bin/aotrun", "doctor", "--explain", "-"]
    done = subprocess.run(command, input=broken, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "error AP609" in done.stdout
    assert "aotrun doctor --explain AP609" in done.stdout
    assert "aotpack" not in done.stdout


def test_aotrun_doctor_sees_what_the_launcher_dropped(portable: Path, tmp_path: Path) -> None:
    (tmp_path / "libtorch_cpu.so").touch()
    preloaded = tmp_path / "other/libgomp.so.1"
    preloaded.parent.mkdir()
    preloaded.touch()
    env = {"LD_LIBRARY_PATH": str(tmp_path), "LD_PRELOAD": f"/nonexistent/x.so {preloaded}"}
    command = [portable / "bin/aotrun", "doctor", "--quick", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    findings = json.loads(done.stdout)["findings"]
    assert {each["code"] for each in findings} == {"AP607"}
    assert {each["severity"] for each in findings} == {"warning"}, "harmless for bin/aotrun itself"
    assert {(each["fix"][0], each["seen"]) for each in findings} == {
        ("unset LD_LIBRARY_PATH", f"LD_LIBRARY_PATH: {tmp_path}/libtorch_cpu.so"),
        ("unset LD_PRELOAD", f"LD_PRELOAD: {preloaded}"),
        ("unset LD_PRELOAD", "LD_PRELOAD names /nonexistent/x.so, which does not exist"),
    }
    quiet = subprocess.run(
        command, capture_output=True, text=True, check=False, env={"LD_LIBRARY_PATH": str(tmp_path / "none")}
    )
    assert json.loads(quiet.stdout)["findings"] == []


def test_aotrun_doctor_survives_a_bridge_that_kills(portable: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(portable, copy, symlinks=True, copy_function=os.link)
    victim = copy / on_target.BRIDGE
    content = victim.read_bytes()
    victim.unlink()  # a hard link so far
    victim.write_bytes(content[:4096] + b"\xff" * (len(content) - 8192) + content[-4096:])
    done = subprocess.run([copy / "bin/aotrun", "doctor", "--json"], capture_output=True, text=True, check=False)
    assert done.returncode == 6, done.stderr
    assert {each["code"] for each in json.loads(done.stdout)["findings"]} >= {"AP501"}


def test_the_library_that_hashes_is_checked_before_it_is_loaded(portable: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(portable, copy, symlinks=True, copy_function=os.link)
    victim = copy / on_target.HASHES
    content = victim.read_bytes()
    victim.unlink()  # a hard link so far
    victim.write_bytes(content.replace(b"aot_sha256_blocks", b"aot_sha256_blockz"))
    maps = "import sys; sys.path[:0] = ['runner']; from aotpack_doctor import on_target\n"
    maps += (
        "code = on_target.main(['--json'], '.'); print(open('/proc/self/maps').read(), file=sys.stderr); sys.exit(code)"
    )
    loader = next((copy / "libc").glob("ld-linux-*.so.*"))
    python = [loader, "--library-path", copy / "libc", copy / "python/bin/python3", "-I", "-S", "-B", "-c", maps]
    for folder, code in ((copy, 6), (portable, 0)):
        done = subprocess.run(python, capture_output=True, text=True, check=False, cwd=folder)
        assert done.returncode == code, done.stdout + done.stderr
        assert (on_target.HASHES in done.stderr) == (folder == portable)
    assert [each["code"] for each in json.loads(done.stdout)["findings"]] == []


# ---- the library that hashes -----------------------------------------------------------------------------------

#: Sizes around blocks and paddings, fed in steps of several sizes, alone and beside a stream of another size and step.
_HASH_TEST = """
import hashlib, itertools, random, sys
from aotpack_doctor.base import hashing
by = hashing.native(sys.argv[1])
data = random.Random(1).randbytes(5000)
sizes = [*range(200), 4999, 5000]
steps = (1, 55, 64, 100, 5000)
expected = {size: hashlib.sha256(data[:size]).hexdigest() for size in sizes}

def feeds(digest, size, step):
    for start in range(0, size, step):
        yield digest, memoryview(bytearray(data[start : min(size, start + step)]))

for index, (size, step) in enumerate(itertools.product(sizes, steps)):
    digest, beside = by.new(), by.new()
    other, other_step = sizes[37 * index % len(sizes)], steps[index // 7 % len(steps)]
    for both in itertools.zip_longest(feeds(digest, size, step), feeds(beside, other, other_step)):
        by.feed([feed for feed in both if feed])
    seen = digest.hexdigest(), digest.hexdigest(), beside.hexdigest()
    assert seen == (expected[size], expected[size], expected[other]), (size, step, other, other_step)
alone = by.new()
alone.update(data)
assert alone.hexdigest() == expected[5000]
print("equal", by.lanes)
"""


@pytest.mark.parametrize("cpu", [None, "Nehalem", "Haswell", "max"])
def test_the_library_that_hashes_agrees_with_openssl(cpu: str | None) -> None:
    """On this CPU; without the instructions that it prefers; with BMI2 alone; with all that the emulator knows."""
    command: list[str | Path] = [sys.executable, "-c", _HASH_TEST, build_hashes()]
    if cpu:
        emulator = shutil.which("qemu-x86_64") or shutil.which("qemu-x86_64-static")
        if emulator is None:
            isolation.unproved("qemu-user is not installed: apt install qemu-user")
        command = [emulator, "-cpu", cpu, *command]
    source = str(Path(aotpack.__file__).parents[1])
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={"PYTHONPATH": source})
    here = "2" if re.search(r"\bsha_ni\b", Path("/proc/cpuinfo").read_text()) else "1"
    lanes = {None: here, "max": "[12]"}.get(cpu, "1")  # emulators know SHA since lately
    assert re.fullmatch(f"equal {lanes}\n", done.stdout), done.stdout + done.stderr


def test_aotrun_doctor_on_a_cpu_that_lacks_features(portable: Path) -> None:
    emulator = shutil.which("qemu-x86_64") or shutil.which("qemu-x86_64-static")
    if emulator is None:
        isolation.unproved("qemu-user is not installed: apt install qemu-user")
    # As the launcher does it; the emulator would not follow the launcher into the program that it becomes.
    libc = portable / "libc"
    loader = next(libc.glob("ld-linux-*.so.*"))
    python = [loader, "--library-path", libc, portable / "python/bin/python3", "-I", "-S", "-B"]
    runner = portable / "runner/aotrun/__main__.py"
    command = [emulator, "-cpu", "Nehalem", *python, runner, "doctor", "--quick", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 7, done.stdout + done.stderr
    found = {each["code"]: each for each in json.loads(done.stdout)["findings"]}
    assert set(found) == {"AP404", "AP603"}
    assert "avx2" in found["AP603"]["seen"]


# ---- drawings --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sizes", [[1], [6, 6, 4, 3, 2, 2, 1], [1000, 1, 1, 1], [5] * 40])
def test_a_treemap_fills_its_rectangle(sizes: list[float]) -> None:
    places = html_report.squarify(sizes, 600, 400)
    assert len(places) == len(sizes)
    for size, place in zip(sizes, places, strict=True):
        assert place.width * place.height == pytest.approx(size / sum(sizes) * 600 * 400)
        assert -1e-6 <= place.x <= place.x + place.width <= 600 + 1e-6
        assert -1e-6 <= place.y <= place.y + place.height <= 400 + 1e-6


def test_the_redactor_leaves_other_words_alone() -> None:
    clean = html_report.redactor({"HOME": "/home/ann", "USER": "ann"}, "box.example.org")
    assert clean("/home/ann/x on box.example.org by ann, /home/anna, planned, boxes, root") == (
        "~/x on HOST by USER, /home/USER, planned, boxes, root"
    )
    assert clean("/data/ann_models/x /data/home/ann box-1") == "/data/USER_models/x /data/home/USER HOST-1"
