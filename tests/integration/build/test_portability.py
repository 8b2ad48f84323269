"""One portable bundle, many machines: the same folder gives the same output wherever it is put.

The machines are real: an empty root, a user without rights on a read-only mount, emulated CPUs, and (make test-distros)
roots of other Debian releases made by debootstrap.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from aotpack.backend import Backend
from aotpack.building.build import build
from aotpack.building.request import BuildRequest
from aotpack.elf.facts import read_elf
from aotpack.progress.reporter import Reporter
from aotpack.tools.sandbox import INSIDE, Sandbox, candidates, works
from tests.support.machines import debian, isolation
from tests.support.packages.exporting import cached_export

CHECK = ("check", "--model", "mlp", "--json")


@pytest.fixture(scope="session", params=["bubblewrap", "unshare", "chroot"])
def sandbox(request: pytest.FixtureRequest) -> Sandbox:
    """Every kind of sandbox that this machine allows."""
    found = [way for way in candidates() if way.name == request.param and works(way)]
    if not found and request.param == "chroot":
        pytest.skip("only root may use chroot")
    if not found:
        isolation.no_namespaces(f"{request.param} is not installed, or the kernel forbids it")
    return found[0]


@pytest.fixture(scope="session")
def avx2(backend_venv: Path, exported: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A portable bundle whose model asks for no more than AVX2."""
    output = tmp_path_factory.mktemp("avx2") / "bundle"
    models = (("mlp", exported("mlp", cpu_isa="avx2")),)
    request = BuildRequest(
        backend=Backend.CPU, output=output, models=models, portable=True, runtime="full", venv=backend_venv
    )
    build(request, Reporter())
    return output


def report(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert isinstance(document, dict)
    return document


def run(command: Sequence[str | Path], **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*map(str, command)], capture_output=True, text=True, check=False, **options)


def test_a_compiler_that_links_libstdcxx_statically(
    backend_venv: Path, exported: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing then brings libstdc++ into the process before libtorch asks for it."""
    models = (("mlp", exported("mlp")),)  # before CXX is set: torch takes a single program
    monkeypatch.setenv("CXX", "c++ -static-libstdc++ -static-libgcc")
    output = tmp_path / "bundle"
    request = BuildRequest(
        backend=Backend.CPU, output=output, models=models, portable=True, runtime="full", venv=backend_venv
    )
    build(request, Reporter())
    assert "libstdc++.so.6" not in read_elf(output / "lib" / "libaot_bridge.so").needed
    box = isolation.empty_root()
    assert report(run(box.command(output, [f"{INSIDE}/bin/aotrun", *CHECK])))["ok"]


def test_in_an_empty_root(portable: Path, sandbox: Sandbox) -> None:
    done = run(sandbox.command(portable, [f"{INSIDE}/bin/aotrun", *CHECK]))
    assert report(done)["ok"]


def test_the_empty_root_is_empty(portable: Path, sandbox: Sandbox) -> None:
    """The proof above means something only if there is nothing else in there."""
    script = "import os; print(sorted(os.listdir('/')), os.environ)"
    python = [f"{INSIDE}/libc/ld-linux-x86-64.so.2", "--library-path", f"{INSIDE}/libc", f"{INSIDE}/python/bin/python3"]
    done = run(sandbox.command(portable, [*python, "-I", "-S", "-c", script]))
    assert done.returncode == 0, done.stderr
    listed = set(eval(done.stdout[: done.stdout.index("]") + 1]))  # noqa: S307  (our own output)
    assert listed <= {"bundle", "dev", "proc"}, listed
    assert "HOME" not in done.stdout


def test_as_another_user_from_a_read_only_mount(portable: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root, to become somebody else")
    script = (
        'mount --bind "$1" /mnt && mount -o remount,bind,ro /mnt && cd / && '
        "exec setpriv --reuid 65534 --regid 65534 --clear-groups env -i /mnt/bin/aotrun check --model mlp --json"
    )
    done = run(["unshare", "--mount", "sh", "-c", script, "sh", portable])
    if "propagation" in done.stderr:
        isolation.no_namespaces(done.stderr.strip())
    assert report(done)["ok"]


def test_through_a_link_from_another_folder_with_a_hostile_environment(portable: Path, tmp_path: Path) -> None:
    link = tmp_path / "run it"
    link.symlink_to(portable / "bin" / "aotrun")
    fake = tmp_path / "fake"
    fake.mkdir()
    for name in ("libc.so.6", "libtorch_cpu.so", "libaot_bridge.so", "libstdc++.so.6"):
        (fake / name).write_bytes(b"not a library")
    (fake / "json.py").write_text("raise SystemExit('hijacked')")
    environment = {
        "LD_LIBRARY_PATH": str(fake),
        "LD_PRELOAD": "/none/missing.so",
        "PYTHONPATH": str(fake),
        "PYTHONHOME": str(fake),
        "PYTHONSTARTUP": str(fake / "json.py"),
    }
    done = run([link, *CHECK], env=environment, cwd=tmp_path)
    assert report(done)["ok"]
    assert done.stderr == ""


def test_after_a_move(portable: Path, tmp_path: Path) -> None:
    moved = tmp_path / "somewhere else" / "ü"
    moved.parent.mkdir()
    subprocess.run(["cp", "-a", "--reflink=auto", portable, moved], check=True)
    assert report(run([moved / "bin/aotrun", *CHECK], cwd="/"))["ok"]


def emulated(bundle: Path, cpu: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the bundle's interpreter on an emulated CPU, as the launcher starts it.

    User-mode emulation ends where a program starts another, so the launcher itself cannot be part of it.
    """
    program = shutil.which("qemu-x86_64") or shutil.which("qemu-x86_64-static")
    if program is None:
        isolation.unproved("qemu-user is not installed: apt install qemu-user")
    start = [bundle / "libc/ld-linux-x86-64.so.2", "--library-path", bundle / "libc", bundle / "python/bin/python3"]
    options = ["-I", "-S", "-B", "-X", "utf8", bundle / "runner/aotrun/__main__.py"]
    return run([program, "-cpu", cpu, *start, *options, *arguments])


def test_on_a_cpu_without_avx512(avx2: Path) -> None:
    assert report(emulated(avx2, "Haswell", *CHECK))["ok"]


def test_a_cpu_that_lacks_features_is_refused_with_their_names(avx2: Path) -> None:
    done = emulated(avx2, "Nehalem", "check", "--model", "mlp")
    assert done.returncode == 7, done.stdout + done.stderr
    assert "avx2" in done.stderr
    assert "Traceback" not in done.stderr
    done = emulated(avx2, "Nehalem", "infer", "--input", str(avx2 / "models/mlp/sample.npz"))
    assert done.returncode == 7, done.stdout + done.stderr
    assert "avx2" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 3


@pytest.mark.distros
@pytest.mark.parametrize("suite", ["bullseye", "trixie"])
def test_on_another_debian(suite: str, portable: Path, tmp_path: Path) -> None:
    if os.geteuid() != 0 or shutil.which("debootstrap") is None:
        pytest.skip("needs root and debootstrap: apt install debootstrap")
    root = tmp_path / suite
    subprocess.run(
        ["debootstrap", "--variant=minbase", suite, root, debian.mirror()], check=True, stdout=subprocess.DEVNULL
    )
    (root / "bundle").mkdir()
    script = (
        'mount --bind "$1" "$2/bundle" && exec chroot "$2" /usr/bin/env -i /bundle/bin/aotrun check --model mlp --json'
    )
    done = run(["unshare", "--mount", "sh", "-c", script, "sh", portable, root])
    assert report(done)["ok"]


def test_what_the_full_runtime_needs_of_proc(backend_venv: Path, tmp_path: Path) -> None:
    """libtorch reads there what the processor can do; an op that refuses without it says so, and what to do."""
    package = cached_export(backend_venv, Path(__file__).with_name("bags.py"))
    output = tmp_path / "bundle"
    models = (("bags", package),)
    request = BuildRequest(
        backend=Backend.CPU, output=output, models=models, portable=True, runtime="full", venv=backend_venv
    )
    build(request, Reporter())
    box = isolation.mounted_root()
    check = [f"{INSIDE}/bin/aotrun", "check", "--model", "bags", "--json"]
    assert report(run(box.command(output, check, kernel=True)))["ok"]
    without = run(box.command(output, check))
    assert without.returncode == 7, without.stdout + without.stderr
    (failed,) = (each for each in json.loads(without.stdout)["checks"] if not each["ok"])
    assert "there is no /proc/cpuinfo" in failed["detail"]
    assert "Mount /proc" in failed["fix"]
