"""ROCm bundles of generated environments (test doubles: no AMD software is in them, see tests/support/doubles/rocm.py).

The doubles look for their data as AMD's libraries do. Each rule of the layout has a control beside it: the same bundle
with the rule broken, which must fail.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aotpack.backend import Backend
from aotpack.building.build import build
from aotpack.building.dry_run import dry_run
from aotpack.building.request import BuildRequest
from aotpack.bundle.entries import Link, Part
from aotpack.elf.facts import is_elf, read_elf
from aotpack.errors import AotpackError
from aotpack.progress.reporter import Reporter
from aotpack.tools.programs import find_program
from aotpack.verifying.static import check_static
from tests.support.doubles.elf import Double, compile_doubles
from tests.support.doubles.environment import make_environment
from tests.support.doubles.rocm import RocmDouble, make_fat, make_therock
from tests.support.machines.gpu_toolkits import HIP_PACKAGE, rocm_path

LAYOUTS = {"fat": make_fat, "therock": make_therock}

#: Runs in a process of its own: loads the bridge and runs a CPU model through it, then asks every library for its data.
PROBE = """
import ctypes, json, os, sys
bundle, torch_lib, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
result = {}
if os.path.isdir(bundle + "/models"):
    sys.path.insert(0, bundle + "/runner")
    import aotrun, numpy
    sample = numpy.load(bundle + "/models/mlp/sample.npz")
    model = aotrun.load(bundle)
    given = [sample["in." + spec.name] for spec in model.inputs]
    expected = [sample["out." + spec.name] for spec in model.outputs]
    returned = model(*given)
    outputs = returned if isinstance(returned, (tuple, list)) else [returned]
    result["error"] = max(float(abs(numpy.from_dlpack(o) - e).max()) for o, e in zip(outputs, expected))
torch_hip = ctypes.CDLL(torch_lib + "/libtorch_hip.so")
for function in (torch_hip.torch_hip_data, torch_hip.torch_hip_runtime):
    function.restype = ctypes.c_char_p
result["runtime"] = torch_hip.torch_hip_runtime().decode()
result["data"] = [torch_hip.torch_hip_data(number).decode() for number in range(count)]
with open("/proc/self/maps") as maps:
    result["mapped"] = sorted({line.split(None, 5)[5].strip() for line in maps if ".so" in line})
print(json.dumps(result))
"""


def request_for(double: RocmDouble, model: Path, output: Path, **options: Any) -> BuildRequest:
    return BuildRequest(backend=Backend.ROCM, output=output, models=(("mlp", model),), venv=double.prefix, **options)


@pytest.fixture(scope="module", params=sorted(LAYOUTS))
def built(
    request: pytest.FixtureRequest,
    backend_venv: Path,
    exported: Callable[..., Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, RocmDouble]:
    """A portable bundle that was moved after it was built, and whose environment is gone."""
    folder = tmp_path_factory.mktemp(request.param)
    double = LAYOUTS[request.param](folder / "venv", backend_venv, folder / "scratch")
    output = folder / "made here"
    build(request_for(double, exported("mlp"), output, portable=True), Reporter())
    shutil.rmtree(double.prefix)
    (folder / "elsewhere").mkdir()
    moved = folder / "elsewhere" / "the bundle"
    output.rename(moved)
    return moved, double


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with other libraries under the names that a bundle's have."""
    folder = tmp_path_factory.mktemp("hostile")
    # Not libc10: the real CPU libtorch finds it by RUNPATH, which the environment beats; a ROCm torch has RPATH.
    names = ("libtorch_cpu.so", "libtorch_hip.so", "libamdhip64.so", "libamdhip64.so.7", "librocblas.so.5")
    compile_doubles(folder, [Double(name, "int stranger(void) { return 1; }\n") for name in names], folder / "scratch")
    return folder


def probe(
    bundle: Path, torch_lib: Path, double: RocmDouble, *, cwd: Path, library_path: Path | None = None
) -> dict[str, Any]:
    environment = {**os.environ, "LD_LIBRARY_PATH": str(library_path)} if library_path else dict(os.environ)
    command = [sys.executable, "-c", PROBE, str(bundle), str(torch_lib), str(len(double.searchers))]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd, env=environment)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert isinstance(result, dict)
    return result


def inside(path: str, folder: Path) -> bool:
    return bool(path) and Path(os.path.realpath(path)).is_relative_to(folder.resolve())


def torch_lib_of(bundle: Path) -> Path:
    return bundle / "lib" / "torch" / "lib"


# ---- portable -------------------------------------------------------------------------------------------------------


def test_moved_without_its_environment_every_library_finds_its_data_inside(
    built: tuple[Path, RocmDouble], hostile: Path, tmp_path: Path
) -> None:
    bundle, double = built
    result = probe(bundle, torch_lib_of(bundle), double, cwd=tmp_path, library_path=hostile)
    assert result["error"] < 1e-5
    assert inside(result["runtime"], bundle)
    found = dict(zip((searcher.name for searcher in double.searchers), result["data"], strict=True))
    assert [name for name, path in found.items() if not inside(path, bundle)] == []
    # What the loader really did: nothing of the hostile folder, one HIP runtime.
    assert [path for path in result["mapped"] if path.startswith(str(hostile))] == []
    assert len([path for path in result["mapped"] if "libamdhip64" in path]) == 1


def test_a_portable_bundle_is_whole_and_runs_in_an_empty_root(built: tuple[Path, RocmDouble]) -> None:
    bundle, _ = built
    report = check_static(bundle)
    assert report.problems == ()
    done = subprocess.run(
        [bundle / "bin" / "aotrun", "check", "--model", "mlp", "--json"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_without_a_gpu_the_device_is_missing_and_the_exit_code_says_so(built: tuple[Path, RocmDouble]) -> None:
    bundle, _ = built
    for device in ("rocm", "rocm:0", "cuda", "cuda:0"):  # HIP answers to both names
        command = [bundle / "bin" / "aotrun", "check", "--device", device]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 7, done.stdout
        assert "no ROCm-capable device" in done.stderr


def test_the_vendors_libraries_are_copied_bit_for_bit_with_their_tag(
    built: tuple[Path, RocmDouble], backend_venv: Path, tmp_path: Path
) -> None:
    bundle, double = built
    again = LAYOUTS["therock" if (bundle / "lib" / "_rocm_sdk_core").exists() else "fat"](
        double.prefix, backend_venv, tmp_path / "scratch"
    )
    untouched = set()
    try:
        for path in sorted((bundle / "lib").rglob("lib*.so*")):
            original = again.site_packages / path.relative_to(bundle / "lib")
            if not original.exists() or path.is_symlink():
                continue
            made, shipped = read_elf(path), read_elf(original)
            assert (made.rpath, made.runpath, made.soname) == (shipped.rpath, shipped.runpath, shipped.soname)
            if not path.name.startswith(("libtorch", "libc10", "libgomp")):
                assert path.read_bytes() == original.read_bytes()
                untouched.add(path.name.partition(".")[0])
    finally:
        shutil.rmtree(again.prefix)
    assert {"libamdhip64", *(f"lib{searcher.name}" for searcher in double.searchers)} <= untouched


def test_nothing_names_a_place_outside(built: tuple[Path, RocmDouble]) -> None:
    bundle, double = built
    paths = sorted((bundle / "lib").rglob("*"))
    assert torch_lib_of(bundle) / "libtorch_hip.so" in paths
    for path in paths:
        if path.is_symlink():
            assert inside(str(path), bundle)
        elif path.is_file() and is_elf(path):
            elf = read_elf(path)
            assert all(text.startswith("$ORIGIN") for text in (*elf.rpath, *elf.runpath)), path
            assert str(double.prefix).encode() not in path.read_bytes(), path


# ---- controls: the same bundle with a rule broken -------------------------------------------------------------------


def copy_of(bundle: Path, folder: Path) -> Path:
    """The bundle's libraries, without the large ones that the controls do not load."""
    ignore = shutil.ignore_patterns("libtorch_cpu.so")
    return Path(shutil.copytree(bundle / "lib", folder / "lib", symlinks=True, ignore=ignore))


def lookups(lib: Path, double: RocmDouble, cwd: Path) -> dict[str, str]:
    result = probe(cwd, lib, double, cwd=cwd)
    return dict(zip((searcher.name for searcher in double.searchers), result["data"], strict=True))


def of_searcher(lib: Path, name: str) -> Path:
    return next(path for path in lib.rglob(f"lib{name}.so*") if not path.is_symlink())


def test_control_the_copy_itself_is_sound(built: tuple[Path, RocmDouble], tmp_path: Path) -> None:
    bundle, double = built
    lib = copy_of(bundle, tmp_path)
    assert all(inside(path, lib) for path in lookups(lib / "torch" / "lib", double, tmp_path).values())


def test_control_a_flat_folder_of_links_loses_the_data(built: tuple[Path, RocmDouble], tmp_path: Path) -> None:
    bundle, double = built
    lib = copy_of(bundle, tmp_path)
    flat = tmp_path / "flat"
    flat.mkdir()
    for path in lib.rglob("lib*.so*"):
        if not (flat / path.name).exists():
            (flat / path.name).symlink_to(path)
    environment = {**os.environ, "LD_LIBRARY_PATH": str(flat)}  # so that at least the libraries are found
    command = [sys.executable, "-c", PROBE, str(tmp_path), str(flat), str(len(double.searchers))]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    found = dict(zip((s.name for s in double.searchers), json.loads(done.stdout)["data"], strict=True))
    lost = {name for name, path in found.items() if not path}
    # MIOpen alone resolves links: it reads on in the folder that the link leads to, which a moved bundle does not have.
    assert lost == {searcher.name for searcher in double.searchers} - {"MIOpen"}
    assert inside(found["MIOpen"], lib)


def test_control_a_hard_link_elsewhere_loses_the_data(built: tuple[Path, RocmDouble], tmp_path: Path) -> None:
    bundle, double = built
    lib = copy_of(bundle, tmp_path)
    real = of_searcher(lib, "hipblaslt")
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / real.name).hardlink_to(real)
    preloaded = {**os.environ, "LD_PRELOAD": str(hidden / real.name), "LD_LIBRARY_PATH": str(real_runtime(lib).parent)}
    command = [sys.executable, "-c", PROBE, str(tmp_path), str(lib / "torch" / "lib"), str(len(double.searchers))]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=preloaded)
    assert done.returncode == 0, done.stderr
    found = dict(zip((s.name for s in double.searchers), json.loads(done.stdout)["data"], strict=True))
    assert found["hipblaslt"] == ""


def real_runtime(lib: Path) -> Path:
    return next(path for path in lib.rglob("libamdhip64.so*") if not path.is_symlink())


def test_control_a_renamed_library_looks_elsewhere(built: tuple[Path, RocmDouble], tmp_path: Path) -> None:
    # auditwheel and others give libraries names with a hash; rocBLAS looks for its own name.
    bundle, double = built
    lib = copy_of(bundle, tmp_path)
    real = of_searcher(lib, "rocblas")
    renamed = real.with_name("librocblas-1a2b3c4d.so.5")
    real.rename(renamed)
    patchelf = find_program("patchelf")
    user = lib / "torch" / "lib" / "libtorch_hip.so"
    for command in (
        [patchelf, "--set-soname", renamed.name, str(renamed)],
        [patchelf, "--replace-needed", real.name, renamed.name, str(user)],
    ):
        subprocess.run(command, check=True)
    assert lookups(lib / "torch" / "lib", double, tmp_path)["rocblas"] == ""


def test_control_runpath_in_place_of_rpath_is_beaten_by_the_environment(
    built: tuple[Path, RocmDouble], hostile: Path, tmp_path: Path
) -> None:
    bundle, double = built
    lib = copy_of(bundle, tmp_path)
    torch_hip = lib / "torch" / "lib" / "libtorch_hip.so"
    # What patchelf does unless told otherwise.
    patchelf = find_program("patchelf")
    search_path = ":".join(read_elf(torch_hip).rpath)
    subprocess.run([patchelf, "--set-rpath", search_path, str(torch_hip)], check=True)
    assert read_elf(torch_hip).runpath
    command = [sys.executable, "-c", PROBE, str(tmp_path), str(torch_hip.parent), str(len(double.searchers))]
    environment = {**os.environ, "LD_LIBRARY_PATH": str(hostile)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode != 0
    assert "undefined symbol" in done.stderr  # the hostile library has none of the real one's functions


def test_control_two_names_for_two_files_are_two_runtimes(built: tuple[Path, RocmDouble], tmp_path: Path) -> None:
    lib = copy_of(built[0], tmp_path)
    runtime = real_runtime(lib)
    second = tmp_path / "second" / "libamdhip64.so.7"
    second.parent.mkdir()
    shutil.copy(runtime, second)
    linked = tmp_path / "linked" / "libamdhip64.so.7"
    linked.parent.mkdir()
    linked.symlink_to(runtime)
    count = "import ctypes, sys; [ctypes.CDLL(p) for p in sys.argv[1:]]; print(open('/proc/self/maps').read())"
    for other, instances in ((second, 2), (linked, 1)):
        command = [sys.executable, "-c", count, str(runtime), str(other)]
        maps = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        paths = {line.split(None, 5)[5] for line in maps.splitlines() if "libamdhip64" in line}
        assert len(paths) == instances


# ---- development ----------------------------------------------------------------------------------------------------


@pytest.fixture(params=sorted(LAYOUTS))
def double(request: pytest.FixtureRequest, backend_venv: Path, tmp_path: Path) -> RocmDouble:
    return LAYOUTS[request.param](tmp_path / "venv", backend_venv, tmp_path / "scratch")


def test_a_development_bundle_holds_the_bridge_alone(
    double: RocmDouble, exported: Callable[..., Path], tmp_path: Path
) -> None:
    output = tmp_path / "bundle"
    build(request_for(double, exported("mlp"), output), Reporter())
    assert [path.name for path in (output / "lib").rglob("*")] == ["libaot_bridge.so"]
    torch_lib = double.site_packages / "torch" / "lib"
    assert str(torch_lib) in read_elf(output / "lib" / "libaot_bridge.so").runpath
    result = probe(output, torch_lib, double, cwd=tmp_path)
    assert result["error"] < 1e-5
    assert all(inside(path, double.site_packages) for path in result["data"])
    assert inside(result["runtime"], double.site_packages)


# ---- a real HIP runtime, without a GPU ------------------------------------------------------------------------------

#: hipErrorNoDevice and hipErrorInvalidDevice: versions differ in which one they answer with.
NO_DEVICE = (100, 101)


@pytest.fixture
def real_hip() -> Path:
    rocm = rocm_path()
    folders = [rocm / "lib", *sorted((rocm / "lib").glob("*-linux-gnu"))] if rocm else []
    found = [path for folder in folders for path in sorted(folder.glob("libamdhip64.so.[0-9]"))]
    if not found:
        pytest.skip(f"no HIP runtime: install ROCm, or {HIP_PACKAGE} on Debian (done by itself as root)")
    return found[0]


def test_the_hip_code_runs_against_amds_own_runtime(
    real_hip: Path, backend_venv: Path, exported: Callable[..., Path], tmp_path: Path
) -> None:
    venv, scratch = tmp_path / "venv", tmp_path / "scratch"
    site_packages = make_environment(venv, backend_venv, "2.13.0+rocm7.2", hip="7.2.53211")
    (scratch / "link").mkdir(parents=True)
    (scratch / "link" / real_hip.name).symlink_to(real_hip)
    source = "int hipRuntimeGetVersion(int*);\nint c10_hip(int* version) { return hipRuntimeGetVersion(version); }\n"
    doubles = [Double("torch/lib/libc10_hip.so", source, needed=(real_hip.name,), rpath="$ORIGIN")]
    doubles.append(Double("torch/lib/libtorch_hip.so", "int torch_hip(void) { return 1; }\n"))
    compile_doubles(site_packages, doubles, scratch)
    output = tmp_path / "bundle"
    build(BuildRequest(backend=Backend.ROCM, output=output, models=(("mlp", exported("mlp")),), venv=venv), Reporter())
    check = subprocess.run(
        [output / "bin" / "aotrun", "check", "--device", "rocm:0"], capture_output=True, text=True, check=False
    )
    assert check.returncode == 7, check.stdout + check.stderr
    assert "there is no rocm device here" in check.stderr
    calls = """
import ctypes, sys
hip = ctypes.CDLL(sys.argv[1], mode=ctypes.RTLD_GLOBAL)
free, total = ctypes.c_size_t(), ctypes.c_size_t()
print(hip.hipMemGetInfo(ctypes.byref(free), ctypes.byref(total)), hip.hipDeviceSynchronize())
print(len({line.split(None, 5)[5].strip() for line in open("/proc/self/maps") if "libamdhip64" in line}))
"""
    command = [sys.executable, "-c", calls, str(site_packages / "torch" / "lib" / "libc10_hip.so")]
    codes, instances = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert all(int(code) in NO_DEVICE for code in codes.split())
    assert instances == "1"


# ---- --arch ---------------------------------------------------------------------------------------------------------


def test_arch_leaves_the_data_of_other_gpus_out(
    double: RocmDouble, exported: Callable[..., Path], tmp_path: Path
) -> None:
    request = request_for(double, exported("mlp"), tmp_path / "bundle", portable=True, archs=("gfx90a",))
    plan = dry_run(request, Reporter())
    data = {Path(entry.destination).name for entry in plan.entries if entry.part is Part.DATA}
    assert {"TensileLibrary_fallback.dat", "TensileLibrary_gfx90a.dat", "gfx90a6e.db", "extop_gfx90a.co"} <= data
    assert not [name for name in data if "gfx11" in name or "gfx942" in name]
    (saving,) = plan.savings
    assert saving.choice == "--arch gfx90a"
    assert saving.size > 0


# ---- what is refused ------------------------------------------------------------------------------------------------


def add_to_torch(double: RocmDouble, name: str, scratch: Path, **fields: Any) -> Path:
    """A library of torch's that libtorch_hip needs, such as a kernel library of somebody's."""
    extra = Double(f"torch/lib/{name}", "int extra(void) { return 1; }\n", **fields)
    compile_doubles(double.site_packages, [extra], scratch)
    patchelf = find_program("patchelf")
    torch_hip = double.site_packages / "torch" / "lib" / "libtorch_hip.so"
    subprocess.run([patchelf, "--force-rpath", "--add-needed", name, str(torch_hip)], check=True)
    return double.site_packages / extra.path


@pytest.mark.parametrize("tag", ["rpath", "runpath"])
def test_a_library_that_looks_in_opt_rocm_is_refused_by_name(
    double: RocmDouble, exported: Callable[..., Path], tmp_path: Path, tag: str
) -> None:
    path = add_to_torch(double, "libkernels.so", tmp_path / "extra", **{tag: "$ORIGIN:/opt/rocm/lib"})
    with pytest.raises(AotpackError) as caught:
        build(request_for(double, exported("mlp"), tmp_path / "bundle", portable=True), Reporter())
    assert str(path) in caught.value.what
    assert "/opt/rocm/lib" in caught.value.what
    assert not (tmp_path / "bundle").exists()


# In the fat layout alone, whose files have other names than their SONAMEs.
@pytest.mark.parametrize("double", ["fat"], indirect=True)
def test_who_asks_by_soname_gets_a_link_beside_the_file(
    double: RocmDouble, exported: Callable[..., Path], tmp_path: Path
) -> None:
    kernels = add_to_torch(double, "libkernels.so", tmp_path / "extra", rpath="$ORIGIN")
    patchelf = find_program("patchelf")
    subprocess.run([patchelf, "--force-rpath", "--add-needed", "libamdhip64.so.7", str(kernels)], check=True)
    plan = dry_run(request_for(double, exported("mlp"), tmp_path / "bundle", portable=True), Reporter())
    placed = {entry.destination: entry.content for entry in plan.entries if "libamdhip64" in entry.destination}
    assert placed["lib/torch/lib/libamdhip64.so.7"] == Link("libamdhip64.so")
    assert set(placed) == {"lib/torch/lib/libamdhip64.so", "lib/torch/lib/libamdhip64.so.7"}


# In the fat layout alone: elsewhere both would have the same name, and the loader takes the first for both.
@pytest.mark.parametrize("double", ["fat"], indirect=True)
def test_a_second_hip_runtime_is_refused_with_both_paths(
    double: RocmDouble, exported: Callable[..., Path], tmp_path: Path
) -> None:
    runtime = real_runtime(double.site_packages)
    other = double.site_packages / "torch" / "lib" / "private" / "libamdhip64.so.7"
    other.parent.mkdir()
    shutil.copy(runtime, other)
    add_to_torch(double, "libkernels.so", tmp_path / "extra", rpath="$ORIGIN/private:$ORIGIN")
    kernels = double.site_packages / "torch" / "lib" / "libkernels.so"
    patchelf = find_program("patchelf")
    subprocess.run([patchelf, "--force-rpath", "--add-needed", "libamdhip64.so.7", str(kernels)], check=True)
    with pytest.raises(AotpackError) as caught:
        build(request_for(double, exported("mlp"), tmp_path / "bundle", portable=True), Reporter())
    assert "libamdhip64.so.7 is there twice" in caught.value.what
    assert str(runtime) in caught.value.what
    assert str(other) in caught.value.what
