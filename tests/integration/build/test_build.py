"""`aotpack build` and `verify` for real: what is made, what is refused, and what is left after failures."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from aotpack.bundle import manifest
from aotpack.elf.facts import is_elf, read_elf
from tests.support.machines import isolation
from tests.support.packages.exporting import ROOT, SOURCES, cached_export
from tests.support.packages.float16_packages import as_float16

TOOLCHAIN = ROOT / "toolchain"


def aotpack(*arguments: str | Path, **options: object) -> subprocess.CompletedProcess[str]:
    """Run the command line as a user does."""
    command = [sys.executable, "-m", "aotpack", *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(TOOLCHAIN)}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, **options)  # type: ignore[call-overload,no-any-return]


def build(output: Path, venv: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return aotpack("build", "--backend", "cpu", "--venv", venv, "--output", output, *arguments)


def is_three_lines(done: subprocess.CompletedProcess[str], code: int) -> None:
    assert done.returncode == code, done.stderr
    error = done.stderr[done.stderr.index("error:") :].splitlines()
    assert error[0].startswith("error: ")
    assert error[1].startswith("  ")
    assert error[2].startswith("  fix: ")
    assert "Traceback" not in done.stderr


# ---- what is made ------------------------------------------------------------------------------------------------


def test_a_portable_bundle_is_whole_and_closed(portable: Path) -> None:
    bundle = manifest.decode((portable / "bundle.json").read_bytes(), "bundle.json")
    assert bundle.portable
    assert bundle.libc == bundle.python == "bundled"
    names = {record.path for record in bundle.files}
    expected = {
        "bin/aotrun",
        "lib/libaot_bridge.so",
        "lib/libtorch_cpu.so",
        "lib/gcc/libstdc++.so.6",
        "libc/libc.so.6",
        "models/mlp/model.so",
        "models/mlp/weights.blob",
        "models/mlp/model.json",
        "include/aot_bridge.h",
    }
    assert expected <= names
    assert not any("torch_python" in name or "_test" in name for name in names)
    assert any(name.startswith("licenses/torch/") for name in names)
    for record in bundle.files:
        assert record.link is None or not record.link.startswith("/")
        path = portable / record.path
        if is_elf(path):
            elf = read_elf(path)
            assert all(text.startswith("$ORIGIN") for text in (*elf.rpath, *elf.runpath)), record.path
            assert not elf.executable_stack
    assert aotpack("verify", portable).returncode == 0


def test_nothing_in_it_names_the_build_machine(portable: Path, backend_venv: Path) -> None:
    """Paths in a binary are a leak at best and a wrong look-up at worst."""
    secrets = [str(folder).encode() for folder in (backend_venv, TOOLCHAIN, TOOLCHAIN.parent / "bridge")]
    ours = [path for path in portable.rglob("*") if path.is_file() and not path.is_symlink()]
    # model.so is the user's own product, whose debug strings torch decides.
    for path in ours:
        if path.parent.name != "mlp":
            content = path.read_bytes()
            for secret in secrets:
                assert secret not in content, f"{path.relative_to(portable)} names {secret.decode()}"


def test_a_real_inference_in_an_empty_root(portable: Path) -> None:
    done = aotpack("verify", portable, "--run", "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["whole"]
    assert document["run"]["sandbox"] in ("bubblewrap", "unshare", "chroot")
    assert list(document["run"]["models"]) == ["mlp"]


def test_a_development_bundle_links_and_runs(tmp_path: Path, backend_venv: Path, exported: Callable[..., Path]) -> None:
    output = tmp_path / "dist"
    done = build(output, backend_venv, "--runtime", "full", "--model", exported("mlp"))
    assert done.returncode == 0, done.stderr
    assert (output / "lib" / "libtorch_cpu.so").is_symlink()
    assert not (output / "libc").exists()
    done = aotpack("verify", output.name, "--run", cwd=tmp_path)  # a relative path, as people type it
    assert done.returncode == 0, done.stderr
    assert "development bundle" in done.stdout
    assert "model mlp runs on this machine" in done.stdout


PACKED = """
import torch
from torch import nn

class Packed(nn.Module):
    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv2d(8, 40, 3, padding=1)
        self.grouped = nn.Conv2d(40, 8, 3, padding=1, groups=4)
        self.transposed = nn.ConvTranspose2d(8, 8, 3, padding=1)
        self.lstm = nn.LSTM(8, 16, batch_first=True)

    def forward(self, x):
        return self.lstm(self.transposed(self.grouped(self.convolution(x).relu())).mean(3).transpose(1, 2))[0]

def model():
    return Packed().eval(), (torch.randn(2, 8, 20, 6),)
"""


def test_weights_packed_by_onednn_run_on_the_full_runtime(tmp_path: Path, backend_venv: Path) -> None:
    """Such a weight has no address: torch refuses to tell one.

    Nor is its order good for other CPUs: where model.json names one, a convolution's is packed anew at load (what comes
    of that on another CPU is in variants/test_prepared_weights.py).
    """
    source, package, output = tmp_path / "packed.py", tmp_path / "packed.pt2", tmp_path / "dist"
    source.write_text(PACKED)
    target = ("--venv", backend_venv, "--output", package, "--cpu-isa", "native")
    done = aotpack("export", f"{source}:model", *target)
    assert done.returncode == 0, done.stderr
    done = build(output, backend_venv, "--runtime", "full", "--model", package)
    assert done.returncode == 0, done.stderr
    done = aotpack("verify", output, "--run")
    assert done.returncode == 0, done.stderr

    def weights_of_convolutions() -> set[str]:
        """The orders in which oneDNN is given them."""
        said = {**os.environ, "ONEDNN_VERBOSE": "1"}
        command = [output / "bin" / "aotrun", "check", "--model", "packed"]
        done = subprocess.run(command, check=False, capture_output=True, text=True, env=said)
        assert done.returncode == 0, done.stdout + done.stderr
        return set(re.findall(r"exec,cpu,reorder,.*?src:f32::blocked:(\w+)::", done.stdout))

    document = output / "models" / "packed" / "model.json"
    here = json.loads(document.read_text())["packed_on"]
    assert here in ("AVX512", "AVX2", "DEFAULT")
    before = weights_of_convolutions()
    other = "X" * len(here)  # `check` compares sizes
    document.write_text(document.read_text().replace(f'"{here}"', f'"{other}"'))
    assert json.loads(document.read_text())["packed_on"] == other
    assert not before
    assert weights_of_convolutions()


def test_the_same_inputs_give_the_same_bundle(
    portable: Path, tmp_path: Path, backend_venv: Path, exported: Callable[..., Path]
) -> None:
    again, texts, empty = tmp_path / "again", tmp_path / "texts", tmp_path / "empty"
    texts.mkdir()
    (texts / "greeting.txt").write_text("hello\n")
    empty.touch()
    beside = ("--asset", f"texts={texts}", "--asset", f"empty={empty}")
    beside += ("--metadata", "sample_rate=16000", "--metadata", "greeting=hello")
    done = build(again, backend_venv, "--portable", "--runtime", "full", "--model", exported("mlp"), *beside)
    assert done.returncode == 0, done.stderr
    assert (again / "bundle.json").read_bytes() == (portable / "bundle.json").read_bytes()


def test_nothing_changed_means_nothing_to_do(
    tmp_path: Path, backend_venv: Path, exported: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "dist"
    model = tmp_path / "mlp.pt2"
    shutil.copy(exported("mlp"), model)
    arguments = ("--model", model)
    assert build(output, backend_venv, *arguments).returncode == 0
    before = (output / "bundle.json").stat().st_ino
    with monkeypatch.context() as patch:
        patch.setenv("PYTHONPROFILEIMPORTTIME", "1")
        done = build(output, backend_venv, *arguments)
    assert "up to date" in done.stdout
    assert (output / "bundle.json").stat().st_ino == before
    # Nor is anything imported that builds, which would take longer than all the rest.
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "aotpack.building.uptodate" in imported
    assert not imported & {"aotpack.building.assemble", "aotpack.elf.facts", "elftools", "importlib.metadata", "rich"}
    assert not imported & {"aotpack.materials", "aotpack.release", "cyclonedx", "model_signing", "oras", "zstandard"}
    (output / "models" / "mlp" / "model.json").write_text("{}")  # a changed output is built again
    done = build(output, backend_venv, *arguments)
    assert "up to date" not in done.stdout
    os.utime(model)  # and so is a changed input
    assert "up to date" not in build(output, backend_venv, *arguments).stdout
    assert "up to date" not in build(output, backend_venv, *arguments, "--debug").stdout


def test_host_libc_and_python_stay_out_and_the_floor_is_told(
    tmp_path: Path, backend_venv: Path, exported: Callable[..., Path]
) -> None:
    output = tmp_path / "dist"
    options = ("--portable", "--libc", "host", "--python", "host", "--model", exported("mlp"))
    done = build(output, backend_venv, *options)
    assert done.returncode == 0, done.stderr
    assert not (output / "libc").exists()
    assert not (output / "python").exists()
    bundle = manifest.decode((output / "bundle.json").read_bytes(), "bundle.json")
    assert bundle.floors.glibc is not None
    assert "libc.so.6" in bundle.host_libraries
    assert f"glibc {bundle.floors.glibc}" in done.stdout
    assert aotpack("verify", output, "--run").returncode == 0


def test_several_models_in_one_bundle(tmp_path: Path, backend_venv: Path, exported: Callable[..., Path]) -> None:
    output = tmp_path / "dist"
    package = exported("mlp")
    done = build(output, backend_venv, "--model", f"a={package}", "--model", f"b={package}")
    assert done.returncode == 0, done.stderr
    assert {path.name for path in (output / "models").iterdir()} == {"a", "b"}
    ran = subprocess.run([output / "bin/aotrun", "check", "--model", "b"], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


def test_dry_run_writes_nothing_and_says_why(tmp_path: Path, backend_venv: Path, exported: Callable[..., Path]) -> None:
    output = tmp_path / "dist"
    done = build(output, backend_venv, "--portable", "--runtime", "full", "--dry-run", "--model", exported("mlp"))
    assert done.returncode == 0, done.stderr
    assert "needed by libtorch_cpu.so" in done.stdout
    assert not output.exists()


# ---- what is refused ---------------------------------------------------------------------------------------------


def test_a_folder_with_foreign_files_is_refused_without_force(
    tmp_path: Path, backend_venv: Path, exported: Callable[..., Path]
) -> None:
    output = tmp_path / "home"
    output.mkdir()
    (output / "thesis.txt").write_text("years of work")
    arguments = (output, backend_venv, "--model", exported("mlp"))
    is_three_lines(build(*arguments), 2)
    assert (output / "thesis.txt").read_text() == "years of work"
    assert build(*arguments, "--force").returncode == 0
    assert not (output / "thesis.txt").exists()


def test_an_output_that_is_a_file_or_cannot_be_made(
    tmp_path: Path, backend_venv: Path, exported: Callable[..., Path]
) -> None:
    (tmp_path / "file").write_text("")
    is_three_lines(build(tmp_path / "file", backend_venv, "--model", exported("mlp")), 2)
    is_three_lines(build(Path("/proc/aotpack/dist"), backend_venv, "--model", exported("mlp")), 1)


@pytest.mark.parametrize("text", ["../x=mlp.pt2", ".hidden=mlp.pt2", "a/b=mlp.pt2", "=mlp.pt2"])
def test_names_that_are_no_folder_names(text: str, tmp_path: Path, backend_venv: Path) -> None:
    is_three_lines(build(tmp_path / "dist", backend_venv, "--model", text), 2)


def test_one_name_twice(tmp_path: Path, backend_venv: Path, exported: Callable[..., Path]) -> None:
    package = exported("mlp")
    is_three_lines(build(tmp_path / "d", backend_venv, "--model", package, "--model", package), 2)


def test_no_environment_or_one_without_torch(tmp_path: Path, exported: Callable[..., Path]) -> None:
    is_three_lines(build(tmp_path / "d", tmp_path / "none", "--model", exported("mlp")), 3)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "empty"], check=True)
    is_three_lines(build(tmp_path / "d", tmp_path / "empty", "--model", exported("mlp")), 3)


def test_cuda_asked_of_a_cpu_torch(tmp_path: Path, backend_venv: Path) -> None:
    done = aotpack("build", "--backend", "cuda", "--venv", backend_venv, "--output", tmp_path / "d")
    is_three_lines(done, 3)
    assert "cuda" in done.stderr
    assert "cpu" in done.stderr


def test_a_missing_compiler(tmp_path: Path, backend_venv: Path, exported: Callable[..., Path]) -> None:
    environment = {**os.environ, "PYTHONPATH": str(TOOLCHAIN), "CXX": "/none/c++", "CC": "/none/cc"}
    environment["XDG_CACHE_HOME"] = str(tmp_path / "cache")
    command = [sys.executable, "-m", "aotpack", "build", "--venv", backend_venv, "--output", tmp_path / "d"]
    done = subprocess.run(
        [*command, "--model", exported("mlp")], capture_output=True, text=True, check=False, env=environment
    )
    is_three_lines(done, 4)
    assert not (tmp_path / "d").exists()


# ---- what is left after failures ---------------------------------------------------------------------------------


def test_a_full_disk_leaves_the_older_bundle(tmp_path: Path, backend_venv: Path, exported: Callable[..., Path]) -> None:
    """In a file system of 64 MB: the first build (links) fits, the second (copies) does not."""
    script = (
        'mount -t tmpfs -o size=64m tmpfs "$1" || exit 77; cd "$1"; shift; '
        '"$@" --output small/dist || exit 78; before=$(sha256sum small/dist/bundle.json); '
        '"$@" --output small/dist --portable; code=$?; '
        '[ "$before" = "$(sha256sum small/dist/bundle.json)" ] || exit 79; '
        "ls -A small | grep -q aotpack-new && exit 80; exit $code"
    )
    namespaces = ["--mount"] if os.geteuid() == 0 else ["--user", "--map-root-user", "--mount"]
    command = [sys.executable, "-m", "aotpack", "build", "--venv", backend_venv, "--model", exported("mlp")]
    command += ["--runtime", "full"]
    done = subprocess.run(
        ["unshare", *namespaces, "sh", "-c", script, "sh", tmp_path, *command],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(TOOLCHAIN)},
    )
    if done.returncode in (1, 77) and ("unshare" in done.stderr or done.returncode == 77):
        isolation.no_namespaces(done.stderr.strip())
    is_three_lines(done, 1)
    assert "disk is full" in done.stderr


def test_two_builds_of_one_output_wait_for_each_other(
    tmp_path: Path, backend_venv: Path, exported: Callable[..., Path]
) -> None:
    output = tmp_path / "dist"
    command = [sys.executable, "-m", "aotpack", "build", "--venv", backend_venv, "--output", output]
    command += ["--model", exported("mlp")]
    environment = {**os.environ, "PYTHONPATH": str(TOOLCHAIN)}
    both = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [process.communicate() for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert sorted("up to date" in out for out, _ in said) == [False, True]
    assert aotpack("verify", output).returncode == 0


# ---- what verify finds -------------------------------------------------------------------------------------------


@pytest.fixture
def damaged(slim: Path, tmp_path: Path) -> Path:
    """A copy to damage: of the small bundle, which each look hashes."""
    copy = tmp_path / "copy"
    subprocess.run(["cp", "-a", "--reflink=auto", slim, copy], check=True)
    return copy


def flip(path: Path) -> None:
    with path.open("r+b") as stream:
        stream.seek(path.stat().st_size // 2)
        byte = stream.read(1)[0]
        stream.seek(-1, os.SEEK_CUR)
        stream.write(bytes([byte ^ 1]))


def test_damages_are_found_and_named(damaged: Path) -> None:
    """One copy takes all damages in turn; each is mended before the next."""
    blob = damaged / "models/mlp/weights.blob"
    flip(blob)
    done = aotpack("verify", damaged)
    is_three_lines(done, 6)
    assert "models/mlp/weights.blob" in done.stderr
    flip(blob)

    blob.rename(damaged / "elsewhere")
    done = aotpack("verify", damaged)
    is_three_lines(done, 6)
    assert "weights.blob: is missing" in done.stderr
    assert "elsewhere: is not part" in done.stderr
    (damaged / "elsewhere").rename(blob)

    (damaged / "lib" / "libextra.so").symlink_to("/etc/passwd")
    done = aotpack("verify", damaged)
    is_three_lines(done, 6)
    assert "libextra.so: is not part" in done.stderr
    (damaged / "lib" / "libextra.so").unlink()

    (damaged / "bin" / "aotrun").chmod(0o644)
    done = aotpack("verify", damaged)
    is_three_lines(done, 6)
    assert "bin/aotrun: may not be executed" in done.stderr
    (damaged / "bin" / "aotrun").chmod(0o755)

    flip(damaged / "bundle.json")
    is_three_lines(aotpack("verify", damaged), 6)
    flip(damaged / "bundle.json")
    assert aotpack("verify", damaged).returncode == 0


def test_verify_of_what_is_no_bundle(tmp_path: Path) -> None:
    is_three_lines(aotpack("verify", tmp_path), 2)


# ---- the slim runtime --------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def slim(backend_venv: Path, exported: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A portable bundle without libtorch; which runtime it gets is aotpack's own choice."""
    output = tmp_path_factory.mktemp("slim") / "bundle"
    done = build(output, backend_venv, "--portable", "--model", f"mlp={exported('mlp')}")
    assert done.returncode == 0, done.stderr
    assert "runtime: slim" in done.stdout
    return output


def test_a_slim_bundle_runs_in_an_empty_root_without_libtorch(slim: Path) -> None:
    bundle = manifest.decode((slim / "bundle.json").read_bytes(), "bundle.json")
    assert bundle.runtime == "slim"
    assert not any("libtorch" in record.path or "libc10" in record.path for record in bundle.files)
    assert sum(record.size for record in bundle.files) < 18_000_000
    done = aotpack("verify", slim, "--run")
    assert done.returncode == 0, done.stderr


def test_both_runtimes_agree(slim: Path, portable: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.random.default_rng(5).normal(size=(33, 64)).astype(np.float32))
    answers = []
    for number, bundle in enumerate((slim, portable)):
        target = tmp_path / f"{number}.npy"
        command = [bundle / "bin/aotrun", "infer", "--input", tmp_path / "x.npy", "--output", target]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        answers.append(np.load(target))
    np.testing.assert_allclose(*answers, rtol=1e-5, atol=1e-6)


LINEAR_LAYERS = """
import torch
from torch import nn
from torch.nn import functional

class Layers(nn.Module):
    def __init__(self):
        super().__init__()
        self.wide, self.narrow = nn.Linear(1021, 2000), nn.Linear(2000, 1021, bias=False)
        self.last = nn.Linear(1021, 1001)

    def forward(self, x):
        return self.last(functional.relu(x + self.narrow(functional.gelu(self.wide(x)))))

def model():
    torch.manual_seed(0)
    rows = torch.export.Dim("rows", min=1, max=1000)
    return Layers().eval(), (torch.randn(16, 1021),), {"x": {0: rows}}
"""


def test_linear_layers_are_packed_for_the_slim_runtime_and_run_by_both(backend_venv: Path, tmp_path: Path) -> None:
    source = tmp_path / "layers.py"
    source.write_text(LINEAR_LAYERS)
    package = cached_export(backend_venv, source, cpu_isa="avx2")
    bundles = {runtime: tmp_path / runtime for runtime in ("slim", "full")}
    for runtime, bundle in bundles.items():
        done = build(bundle, backend_venv, "--runtime", runtime, "--model", package)
        assert done.returncode == 0, done.stderr
    for rows in (1, 16, 77):
        np.save(tmp_path / "x.npy", np.random.default_rng(rows).normal(size=(rows, 1021)).astype(np.float32))
        answers = []
        for runtime, bundle in bundles.items():
            target = tmp_path / f"{runtime}.npy"
            command = [bundle / "bin/aotrun", "infer", "--input", tmp_path / "x.npy", "--output", target]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            answers.append(np.load(target))
        np.testing.assert_allclose(*answers, rtol=1e-5, atol=1e-5)


OWN_MEMORY = """
import sys
import numpy as np
import aotrun

def own():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("RssAnon"))

before = own()
model = aotrun.load(sys.argv[1])
model(np.load(sys.argv[2]))
print(own() - before)
"""
IN_HALVES = """
class Halves(Layers):
    def __init__(self):
        super().__init__()
        self.bfloat16()

    def forward(self, x):
        return super().forward(x.bfloat16()).float()
"""
PACKED_TYPES = {
    "float32": LINEAR_LAYERS,
    "float16": LINEAR_LAYERS.replace("Layers().eval()", "Halves().eval()") + IN_HALVES,
    **{name: (SOURCES / f"packed_{name}.py").read_text() for name in ("halves", "bytes")},
}
#: Elsewhere oneDNN packs none of them, and convolutions are of float32.
HAS_HALVES = "avx512_bf16" in Path("/proc/cpuinfo").read_text()


@pytest.mark.parametrize(
    "name",
    [
        "float32",
        pytest.param("halves", marks=pytest.mark.skipif(not HAS_HALVES, reason="needs AVX512-BF16")),
        pytest.param("float16", marks=pytest.mark.skipif(not HAS_HALVES, reason="needs AVX512-BF16")),
        "bytes",
    ],
)
def test_packed_weights_are_used_where_they_are_mapped(
    name: str, backend_venv: Path, backend_python: Path, tmp_path: Path
) -> None:
    source = tmp_path / "layers.py"
    source.write_text(PACKED_TYPES[name])
    package = cached_export(backend_venv, source, cpu_isa="avx2" if name == "float32" else "native")
    if name == "float16":
        package = as_float16(package, tmp_path / "layers.pt2")
    bundle = tmp_path / "bundle"
    done = build(bundle, backend_venv, "--runtime", "slim", "--model", package)
    assert done.returncode == 0, done.stderr
    if name != "float16":  # whose code is that of bfloat16
        checked = subprocess.run([bundle / "bin/aotrun", "check"], capture_output=True, text=True, check=False)
        assert checked.returncode == 0, checked.stderr  # the results of eager PyTorch
    shape = (16, 1021) if name in ("float32", "float16") else (2, 3, 10, 10)
    np.save(tmp_path / "x.npy", np.ones(shape, np.float32))
    weights = (bundle / "models" / "layers" / "weights.blob").stat().st_size / 1024
    environment = {**os.environ, "PYTHONPATH": str(bundle / "runner"), "OMP_NUM_THREADS": "1"}
    command = [backend_python, "-c", OWN_MEMORY, bundle, tmp_path / "x.npy"]
    answer = subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout
    assert int(answer) < weights / 2


def test_slim_asked_of_a_model_it_does_not_serve_names_what_is_missing(
    tmp_path: Path, backend_venv: Path, exported: Callable[..., Path]
) -> None:
    done = build(tmp_path / "d", backend_venv, "--runtime", "slim", "--model", exported("no_shim"))
    is_three_lines(done, 5)
    assert "proxy executor" in done.stderr
