"""Bundles of real CUDA torches of PyPI in both layouts of NVIDIA's wheels, without a GPU (make test-cuda-wheel).

About 3 GB to fetch and 8 GB of disk for each of them.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from aotpack.backend import Backend
from aotpack.building.build import build
from aotpack.building.request import BuildRequest
from aotpack.bundle import manifest
from aotpack.environment.search import find_torch
from aotpack.environment.torch import TorchInfo
from aotpack.gpu import trimming
from aotpack.libraries.closure import Root, walk
from aotpack.libraries.finder import DiskFinder
from aotpack.libraries.origins import Origin
from aotpack.libraries.recipe import load_recipe
from aotpack.patterns import matches_any
from aotpack.progress.reporter import Reporter
from aotpack.verifying import run, static
from tests.support.packages.exporting import EXAMPLES, ROOT, cached_export

pytestmark = [pytest.mark.cuda_wheel, pytest.mark.timeout(3600)]

RECIPE = load_recipe(Backend.CUDA)
ARCH = "sm_90"
#: Layout -> the torch that has it and its environment: CUDA 13 in `nvidia/cu13/lib` (what `make init BACKEND=cuda`
#: installs), CUDA 12.8 with a folder for each library.
TORCHES = {
    "cu13": (RECIPE.torch.version, ROOT / ".venv-cuda"),
    "cu12": ("2.9.1", ROOT / ".venv-cuda-2.9.1"),
}
#: Of the bytes that copying everything takes, for a model of matrix products and pointwise kernels on one GPU.
DISK_RATIO, ARCHIVE_RATIO = 0.45, 0.35

LOAD_ALL = """
import ctypes, json, os, sys
failed = {}
for name in sorted(os.listdir(sys.argv[1])):
    if ".so" in name:
        try:
            ctypes.CDLL(os.path.join(sys.argv[1], name), mode=ctypes.RTLD_GLOBAL)
        except OSError as error:
            failed[name] = str(error)
with open("/proc/self/maps") as maps:
    mapped = sorted({line.split(None, 5)[5].strip() for line in maps if ".so" in line})
print(json.dumps({"failed": failed, "mapped": mapped}))
"""


@pytest.fixture(scope="module", params=sorted(TORCHES))
def torch(request: pytest.FixtureRequest) -> TorchInfo:
    """An environment as `aotpack init` makes it."""
    version, venv = TORCHES[request.param]
    done = subprocess.run(
        [sys.executable, "-m", "aotpack", "init", "--backend", "cuda", "--torch", version, "--venv", venv],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT / "toolchain",
    )
    assert done.returncode == 0, done.stderr
    found = find_torch(Backend.CUDA, venv=venv)
    folder = "nvidia/cu13/lib" if request.param == "cu13" else "nvidia/cublas/lib"
    assert found.site_packages is not None
    assert (found.site_packages / folder).is_dir()
    return found


@pytest.fixture(scope="module")
def venv(torch: TorchInfo) -> Path:
    """The environment's folder."""
    assert torch.python is not None
    return torch.python.parents[1]


@pytest.fixture(scope="module")
def make(venv: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Builds a portable bundle of the MLP, which is for the CPU: there is no GPU to export for."""

    def get(name: str, **options: object) -> Path:
        output = tmp_path_factory.mktemp(name) / "bundle"
        request = BuildRequest(
            backend=Backend.CUDA,
            output=output,
            models=(("mlp", cached_export(venv, EXAMPLES / "mlp.py")),),
            portable=True,
            venv=venv,
            **options,  # type: ignore[arg-type]
        )
        build(request, Reporter())
        return output

    return get


@contextlib.contextmanager
def without(folder: Path) -> Iterator[None]:
    """While a folder is elsewhere."""
    away = folder.with_name(f"{folder.name}.away")
    folder.rename(away)
    try:
        yield
    finally:
        away.rename(folder)


@pytest.fixture(scope="module")
def whole(make: Callable[..., Path]) -> Path:
    """With every group."""
    return make("whole", features=tuple(RECIPE.groups))


@pytest.fixture(scope="module")
def trimmed(make: Callable[..., Path]) -> Path:
    """For matrix products and pointwise kernels on one GPU."""
    return make("trimmed", features=("blas",), archs=(ARCH,))


def load_all(lib: Path) -> dict[str, dict[str, str] | list[str]]:
    done = subprocess.run(
        [sys.executable, "-c", LOAD_ALL, str(lib)], capture_output=True, text=True, check=False, env={}, cwd="/"
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert isinstance(result, dict)
    return result


def test_the_recipe_knows_every_library_of_the_wheel(torch: TorchInfo) -> None:
    roots = [Root(name, torch.lib_dirs[0] / name, "recipe") for name in RECIPE.roots]
    closure = walk(roots, DiskFinder(folders=torch.lib_dirs), RECIPE)
    assert closure.unknown == ()
    assert closure.missing == ()
    opened = {library.name for library in closure.libraries}
    for pattern in ("libtorch_cuda_linalg.so", "libcusolver.so.*", "libcudnn_engines_*.so.*", "libnvrtc-builtins.so.*"):
        assert any(matches_any(name, (pattern,)) for name in opened), pattern


@pytest.mark.parametrize("bundle", ["whole", "trimmed"])
def test_every_library_loads_from_the_bundle_alone(bundle: str, venv: Path, request: pytest.FixtureRequest) -> None:
    folder: Path = request.getfixturevalue(bundle)
    assert static.check_static(folder).problems == ()
    with without(venv):
        result = load_all(folder / "lib")
    # The gateway to the driver is the one that needs it to load.
    assert set(result["failed"]) == {"libcaffe2_nvrtc.so"}
    vendor = ("libtorch", "libc10", "libcu", "libnv", "libnccl")
    loaded = [path for path in result["mapped"] if Path(path).name.startswith(vendor)]
    assert loaded
    assert all(path.startswith(str(folder)) for path in loaded)


@pytest.mark.parametrize("bundle", ["whole", "trimmed"])
def test_a_model_for_the_cpu_runs_in_an_empty_root(bundle: str, venv: Path, request: pytest.FixtureRequest) -> None:
    folder: Path = request.getfixturevalue(bundle)
    with without(venv):
        assert run.check_run(folder, manifest.load_bundle(folder)).models["mlp"]["ok"]


def test_without_a_driver_the_exit_code_is_7_and_the_driver_is_named(trimmed: Path) -> None:
    done = subprocess.run(
        [trimmed / "bin" / "aotrun", "check", "--device", "cuda"], capture_output=True, text=True, check=False
    )
    if done.returncode == 0:
        pytest.skip("there is a GPU here: make test-gpu is the test for it")
    assert done.returncode == 7
    assert "driver" in done.stderr


def test_a_call_into_a_stub_names_the_group_to_add(trimmed: Path) -> None:
    call = "import ctypes, sys; [ctypes.CDLL(path, mode=ctypes.RTLD_GLOBAL) for path in sys.argv[1:]][-1].cudnnCreate()"
    libraries = [trimmed / "lib" / name for name in ("libtorch_cuda.so", "libcudnn.so.9")]
    done = subprocess.run(
        [sys.executable, "-c", call, *libraries], capture_output=True, text=True, check=False, env={}, cwd="/"
    )
    assert done.returncode == -signal.SIGABRT
    assert done.stderr.startswith("error: cudnnCreate: a function of libcudnn.so.9 was called")
    assert "--features cudnn" in done.stderr


def test_one_architecture_is_left_in_torchs_libraries(trimmed: Path, torch: TorchInfo) -> None:
    for name in ("libtorch_cuda.so", "libtorch_nvshmem.so"):
        left = set(trimming.architectures(trimmed / "lib" / name))
        assert ARCH in left
        assert left <= {ARCH, f"{ARCH}a"}
        assert len(trimming.architectures(torch.lib_dirs[0] / name)) > len(left)


def test_nvidias_own_tool_finds_that_code_whole(trimmed: Path, torch: TorchInfo) -> None:
    """`cuobjdump`, which Triton brings along: what it lists for the GPU is what it lists in the wheel's own file."""
    assert torch.site_packages is not None
    tool = torch.site_packages / "triton" / "backends" / "nvidia" / "bin" / "cuobjdump"
    for name in ("libtorch_cuda.so", "libtorch_nvshmem.so"):
        before, after = listed(tool, torch.lib_dirs[0] / name), listed(tool, trimmed / "lib" / name)
        assert after
        assert after == Counter({arch: count for arch, count in before.items() if arch in (ARCH, f"{ARCH}a")})


def listed(tool: Path, library: Path) -> Counter[str]:
    """How much machine code `cuobjdump` finds in a library, by architecture; PTX counts as `ptx`."""
    found: Counter[str] = Counter()
    for option, kind in (("--list-elf", "cubin"), ("--list-ptx", "ptx")):
        done = subprocess.run([tool, option, library], capture_output=True, text=True, check=False)
        # A library without PTX is an error to it, which it says in these words.
        assert done.returncode == 0 or "does not contain device code" in done.stderr + done.stdout, done.stderr
        names = re.findall(rf"\.(sm_\w+)\.{kind}$", done.stdout, re.MULTILINE)
        found.update(names if kind == "cubin" else ["ptx"] * len(names))
    return found


def test_sizes(trimmed: Path, torch: TorchInfo) -> None:
    roots = [Root(name, torch.lib_dirs[0] / name, "recipe") for name in RECIPE.roots]
    closure = walk(roots, DiskFinder(folders=torch.lib_dirs), RECIPE)
    everything = [library.path for library in closure.libraries if library.origin is Origin.BUNDLED]
    small = [path for path in sorted((trimmed / "lib").iterdir()) if path.is_file()]
    assert on_disk(small) <= DISK_RATIO * on_disk(everything)
    assert archived(small) <= ARCHIVE_RATIO * archived(everything)


def on_disk(paths: list[Path]) -> int:
    return sum(path.stat().st_blocks * 512 for path in paths)


def archived(paths: list[Path]) -> int:
    """Bytes of a tar.zst at a quick level."""
    if shutil.which("zstd") is None:
        pytest.skip("zstd is not installed")
    tar = ["tar", "-ch", *map(str, paths)]
    with (
        subprocess.Popen(tar, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as source,
        subprocess.Popen(["zstd", "-3", "-T0", "-c"], stdin=source.stdout, stdout=subprocess.PIPE) as packed,
    ):
        assert packed.stdout is not None
        return sum(map(len, iter(lambda: packed.stdout.read(1 << 20), b"")))  # type: ignore[union-attr]
