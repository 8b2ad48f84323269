"""CUDA bundles of generated environments: test doubles (support/doubles/cuda.py), no NVIDIA software is in them."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from aotpack.backend import Backend
from aotpack.building.build import build
from aotpack.building.dry_run import dry_run
from aotpack.building.request import BuildRequest
from aotpack.bundle import manifest
from aotpack.cli import group as command_line
from aotpack.elf.edits import ElfEdit, apply_edit
from aotpack.elf.facts import is_elf, read_elf
from aotpack.errors import DamagedError, TorchMismatchError, UsageError
from aotpack.progress.reporter import Reporter
from aotpack.tools import sandbox
from aotpack.tools.programs import find_program
from aotpack.verifying import run, static
from aotpack_doctor.base.places import DESCRIPTION
from aotpack_doctor.facts import Host, HostFacts
from aotpack_doctor.findings.catalog import examine
from aotpack_doctor.reading.bundle import compare_contents, read_bundle
from tests.support.doubles.cuda import CU12, CU13, GPU_VARIABLE, NUMBERS, CudaDouble, make_cuda
from tests.support.doubles.elf import Double, compile_doubles
from tests.support.machines import isolation

LAYOUTS = {"cu13": CU13, "cu12": CU12}

#: Loads libtorch_cuda as the bridge does, calls into its libraries, and says what is mapped.
PROBE = """
import ctypes, json, sys
lib, numbers, opened = sys.argv[1], json.loads(sys.argv[2]), json.loads(sys.argv[3])
torch_cuda = ctypes.CDLL(lib + "/libtorch_cuda.so", mode=ctypes.RTLD_GLOBAL)
torch_cuda.torch_cuda_linalg.restype = ctypes.c_char_p
result = {"called": [torch_cuda.torch_cuda_call(number) for number in numbers], "opened": {}}
for name, function in opened.items():
    if function == "torch_cuda_linalg":
        result["opened"][name] = torch_cuda.torch_cuda_linalg().decode()
        continue
    opener = getattr(ctypes.CDLL(lib + "/" + name), function)
    opener.restype = ctypes.c_char_p
    result["opened"][name] = (opener() or b"").decode()
with open("/proc/self/maps") as maps:
    result["mapped"] = sorted({line.split(None, 5)[5].strip() for line in maps if ".so" in line})
print(json.dumps(result))
"""


@pytest.fixture(scope="module", params=sorted(LAYOUTS))
def double(request: pytest.FixtureRequest, backend_venv: Path, tmp_path_factory: pytest.TempPathFactory) -> CudaDouble:
    folder = tmp_path_factory.mktemp(request.param)
    return make_cuda(folder / "venv", backend_venv, folder / "scratch", LAYOUTS[request.param])


def request_for(double: CudaDouble, model: Path | None, output: Path, **options: Any) -> BuildRequest:
    models = (("mlp", model),) if model else ()
    return BuildRequest(backend=Backend.CUDA, output=output, models=models, venv=double.prefix, **options)


@pytest.fixture(scope="module")
def whole(double: CudaDouble, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A portable bundle without a model: everything that some model could need is inside."""
    output = tmp_path_factory.mktemp("whole") / "bundle"
    build(request_for(double, None, output, portable=True), Reporter())
    return output


@pytest.fixture(scope="module")
def small(double: CudaDouble, exported: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A portable bundle of a model that needs no group at all."""
    output = tmp_path_factory.mktemp("small") / "bundle"
    build(request_for(double, exported("mlp"), output, portable=True), Reporter())
    return output


def probe(
    lib: Path, stems: list[str], opened: dict[str, str] | None = None
) -> tuple[subprocess.CompletedProcess[str], dict[str, Any]]:
    numbers = json.dumps([NUMBERS[stem] for stem in stems])
    command = [sys.executable, "-c", PROBE, str(lib), numbers, json.dumps(opened or {})]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
    return done, json.loads(done.stdout) if done.stdout else {}


def names_in(bundle: Path) -> set[str]:
    return {path.name for path in (bundle / "lib").iterdir() if path.is_file()}


# ---- the whole set --------------------------------------------------------------------------------------------------


def test_everything_lies_in_one_flat_folder_and_resolves_there(whole: Path, double: CudaDouble) -> None:
    stems = ["cublas", "cublasLt", "cudnn", "cufft", "cusparse", "nvrtc"]
    layout = double.layout
    opened = {
        "libtorch_cuda.so": "torch_cuda_linalg",
        layout.name("cudnn"): "cudnn_open",
        layout.name("cudnn_graph"): "cudnn_graph_open",
        layout.name("cudnn_engines_precompiled"): "cudnn_engines_precompiled_open",
        layout.name("nvrtc"): "nvrtc_open",
        layout.name("cufft"): "cufft_open",
    }
    away = double.prefix.with_name("away")
    double.prefix.rename(away)
    # Where cuFFT and cuSPARSE of CUDA 12 look first: beside the bundle.
    lure = whole.parent / "nvjitlink" / "lib" / layout.name("nvJitLink")
    lure.parent.mkdir(parents=True)
    shutil.copy(whole / "lib" / layout.name("nvJitLink"), lure)
    try:
        done, result = probe(whole / "lib", stems, opened)
    finally:
        away.rename(double.prefix)
        shutil.rmtree(lure.parents[1])
    assert done.returncode == 0, done.stderr
    assert result["called"] == [NUMBERS[stem] for stem in stems]
    assert result["opened"] == dict.fromkeys(opened, "")
    # What the loader really took: nothing of NVIDIA's or torch's from anywhere else.
    vendor = ("libtorch", "libc10", "libcu", "libnv", "libnccl")
    strangers = [
        path
        for path in result["mapped"]
        if Path(path).name.startswith(vendor) and not path.startswith(str(whole / "lib"))
    ]
    assert strangers == []


def test_the_bundle_is_whole_by_its_own_description(whole: Path) -> None:
    report = static.check_static(whole)
    assert report.problems == ()
    assert report.bundle.host_libraries == ("libcuda.so.1",)
    assert "cudnn" in report.bundle.features
    # The doctor has nothing to say of it either: it asks the same reader.
    found = compare_contents(read_bundle(str(whole), Host())[0], lambda _done: None)
    facts = HostFacts(backend="cuda", host=Host(), bundle=found)
    assert [finding.seen for finding in examine(facts) if finding.kind.code.startswith("AP5")] == []


@pytest.mark.parametrize("double", ["cu12"], indirect=True)
def test_a_vendors_file_that_looks_outside_first_is_a_problem_unless_its_needs_are_loaded_before(
    whole: Path, double: CudaDouble, tmp_path: Path
) -> None:
    copy = tmp_path / "bundle"
    shutil.copytree(whole, copy, symlinks=True, copy_function=os.link)
    user = copy / "lib" / "libtorch_cuda.so"
    content = user.read_bytes()
    user.unlink()
    user.write_bytes(content)
    jitlink = double.layout.name("nvJitLink")
    assert jitlink in read_elf(user).needed
    subprocess.run([find_program("patchelf"), "--remove-needed", jitlink, user], check=True)
    problems = {problem.path: problem.what for problem in static.check_static(copy).problems}
    assert problems.pop("lib/libtorch_cuda.so")  # its content
    cusparse = f"lib/{double.layout.name('cusparse')}"
    assert problems == {cusparse: f"searches $ORIGIN/../../nvjitlink/lib, outside of the bundle, for {jitlink}"}


def test_nvidias_files_are_the_wheels_bit_for_bit(whole: Path, double: CudaDouble) -> None:
    bundle = manifest.load_bundle(whole)
    vendor = [record for record in bundle.files if record.pristine]
    originals = {path.name: path for path in double.site_packages.glob("nvidia/*/lib/*")}
    assert {Path(record.path).name for record in vendor} == {
        path.name for path in (whole / "lib").iterdir() if path.name in originals and path.name not in stubs_in(whole)
    }
    assert vendor
    for record in vendor:
        content = originals[Path(record.path).name].read_bytes()
        assert (whole / record.path).read_bytes() == content
        assert record.wheel_sha256 == record.sha256 == hashlib.sha256(content).hexdigest()


def stubs_in(bundle: Path) -> set[str]:
    records = manifest.load_bundle(bundle).files
    return {Path(record.path).name for record in records if record.reason.startswith("a stub")}


def test_a_vendors_file_that_was_changed_before_the_build_is_not_sealed_as_theirs(
    double: CudaDouble, tmp_path: Path
) -> None:
    changed = double.site_packages / double.layout.path("cublas")
    content = changed.read_bytes()
    changed.write_bytes(content + b"\0")
    try:
        with pytest.raises(DamagedError) as caught:
            build(request_for(double, None, tmp_path / "bundle", portable=True), Reporter())
        assert str(changed) in caught.value.what
    finally:
        changed.write_bytes(content)


def test_verify_compares_with_what_the_wheel_recorded(small: Path, tmp_path: Path) -> None:
    copy = tmp_path / "bundle"
    shutil.copytree(small, copy, symlinks=True)
    bundle = manifest.load_bundle(copy)
    # Somebody patches a vendor's file and seals the bundle anew.
    victim = next(record for record in bundle.files if record.pristine)
    (copy / victim.path).write_bytes((copy / victim.path).read_bytes() + b"\0")
    content = (copy / victim.path).read_bytes()
    resealed = json.loads((copy / DESCRIPTION).read_text())
    for record in resealed["files"]:
        if record["path"] == victim.path:
            record.update(size=len(content), sha256=hashlib.sha256(content).hexdigest())
    typed = manifest.msgspec.convert(resealed, manifest.Bundle)
    (copy / DESCRIPTION).write_bytes(manifest.encode(typed))
    problems = static.check_static(copy).problems
    assert [(problem.path, "recorded" in problem.what) for problem in problems] == [(victim.path, True)]


def test_the_tag_of_torchs_libraries_stays_and_leads_nowhere_else(whole: Path) -> None:
    paths = sorted((whole / "lib").glob("libtorch_cuda*.so"))
    assert {"libtorch_cuda.so", "libtorch_cuda_linalg.so"} <= {path.name for path in paths}
    for path in paths:
        elf = read_elf(path)
        assert elf.rpath == ("$ORIGIN",)
        assert elf.runpath == ()


# ---- what a model does not need -------------------------------------------------------------------------------------


def test_libraries_that_no_model_needs_are_stubs(small: Path, double: CudaDouble) -> None:
    layout = double.layout
    stubs = ["cublas", "cublasLt", "cudnn", "cufft", "cusparse", "cusparseLt", "nccl", "nvshmem_host", "nvrtc"]
    # Linked to and never called: their stubs are empty.
    assert stubs_in(small) == {layout.name(stem) for stem in (*stubs, "curand", "cufile")}
    assert all((small / "lib" / name).stat().st_size < 20_000 for name in stubs_in(small))
    left = {"libtorch_cuda_linalg.so", layout.name("cusolver"), layout.name("cudnn_graph"), layout.name("nvJitLink")}
    assert not left & names_in(small)
    assert manifest.load_bundle(small).features == ()


def test_a_bundle_with_stubs_loads_and_a_call_into_one_says_what_to_build(small: Path) -> None:
    calm, result = probe(small / "lib", ["cudart"])
    assert calm.returncode == 0, calm.stderr
    assert result["called"] == [NUMBERS["cudart"]]
    called, _ = probe(small / "lib", ["cufft"])
    assert called.returncode == -signal.SIGABRT
    assert called.stderr.startswith("error: cufft_number: a function of libcufft.so.1")
    assert "--features fft" in called.stderr


def test_features_bring_a_group_back_with_what_it_needs(
    double: CudaDouble, exported: Callable[..., Path], tmp_path: Path
) -> None:
    request = request_for(double, exported("mlp"), tmp_path / "b", portable=True, features=("linalg",))
    plan = dry_run(request, Reporter())
    copies = {entry.destination: entry for entry in plan.entries}
    layout = double.layout
    for name in ("libtorch_cuda_linalg.so", *(layout.name(s) for s in ("cusolver", "cusparse", "cublas", "nvJitLink"))):
        assert "stub" not in copies[f"lib/{name}"].reason
    assert copies[f"lib/{layout.name('cufft')}"].reason.startswith("a stub")


@pytest.mark.parametrize("option", [{"archs": ("sm_90",)}, {"features": ("fft",)}])
def test_a_development_bundle_leaves_nothing_out(
    double: CudaDouble, tmp_path: Path, option: dict[str, tuple[str, ...]]
) -> None:
    with pytest.raises(UsageError, match="--portable"):
        build(request_for(double, None, tmp_path / "b", **option), Reporter())


def test_gpu_code_and_the_driver_of_this_machine_are_told_from_libraries(
    double: CudaDouble, exported: Callable[..., Path], tmp_path: Path
) -> None:
    """A package as Inductor makes it for CUDA: cubins are ELF files too, and model.so names the driver's library."""
    package = tmp_path / "gpu.pt2"
    with zipfile.ZipFile(exported("mlp")) as plain, zipfile.ZipFile(package, "w") as made:
        for entry in plain.namelist():
            content = plain.read(entry)
            if entry.endswith(".wrapper.so"):
                # A cubin's double: an ELF file for another kind of machine, EM_CUDA.
                made.writestr(f"{entry.rpartition('/')[0]}/kernel.cubin", content[:18] + b"\xbe\0" + content[20:])
                model = tmp_path / "model.so"
                model.write_bytes(content)
                apply_edit(model, ElfEdit(add_needed=("libcuda.so.1",)), model)
                content = model.read_bytes()
            made.writestr(entry, content)
    folder = double.site_packages / "torch" / "lib"
    driver = folder / "libcuda.so.1"  # as if the loader of this machine found one
    shutil.copy(folder / "libc10.so", driver)
    try:
        output = tmp_path / "bundle"
        build(request_for(double, package, output, portable=True), Reporter())
    finally:
        driver.unlink()
    assert static.check_static(output).problems == ()
    assert (output / "models" / "mlp" / "kernels" / "kernel.cubin").is_file()
    assert not list(output.rglob("libcuda.so*"))
    assert "libcuda.so.1" in manifest.load_bundle(output).host_libraries


def test_an_unknown_group_is_refused(double: CudaDouble, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="warp"):
        dry_run(request_for(double, None, tmp_path / "b", portable=True, features=("warp",)), Reporter())


@pytest.mark.parametrize("double", ["cu13"], indirect=True)
def test_a_library_that_the_recipe_does_not_know_is_a_named_warning(
    double: CudaDouble, exported: Callable[..., Path], backend_venv: Path, tmp_path: Path
) -> None:
    newer = make_cuda(tmp_path / "venv", backend_venv, tmp_path / "scratch", double.layout)
    lib = newer.site_packages / "torch" / "lib"
    compile_doubles(lib, [Double("libcunovel.so.1", "int novel(void) { return 1; }\n")], tmp_path / "scratch")
    subprocess.run([find_program("patchelf"), "--add-needed", "libcunovel.so.1", lib / "libtorch_cuda.so"], check=True)
    plan = dry_run(request_for(newer, exported("mlp"), tmp_path / "b", portable=True), Reporter())
    assert [warning.partition(":")[0] for warning in plan.warnings] == ["libcunovel.so.1"]
    assert "needed by libtorch_cuda.so" in plan.warnings[0]
    assert "recipes/cuda.toml" in plan.warnings[0]
    assert "lib/libcunovel.so.1" in {entry.destination for entry in plan.entries}
    known = dry_run(request_for(double, exported("mlp"), tmp_path / "b", portable=True), Reporter())
    assert known.warnings == ()


def test_a_dry_run_shows_what_each_choice_saves(
    double: CudaDouble, exported: Callable[..., Path], tmp_path: Path
) -> None:
    request = request_for(double, exported("mlp"), tmp_path / "b", portable=True)
    plan = dry_run(request, Reporter())
    saved = {saving.choice: saving.size for saving in plan.savings}
    assert {"group fft is off", "group cudnn is off", "group linalg is off"} <= set(saved)
    assert all(size > 0 for size in saved.values())
    arguments = ["build", "--backend", "cuda", "--venv", str(double.prefix), "--model", f"mlp={exported('mlp')}"]
    shown = CliRunner().invoke(command_line, [*arguments, "--output", str(tmp_path / "b"), "--portable", "--dry-run"])
    assert shown.exit_code == 0, shown.output
    assert "group fft is off" in shown.output
    assert not (tmp_path / "b").exists()


# ---- running it -----------------------------------------------------------------------------------------------------


def test_a_model_for_the_cpu_runs_in_an_empty_root(small: Path) -> None:
    bundle = manifest.load_bundle(small)
    assert static.check_static(small).problems == ()
    result = run.check_run(small, bundle)
    assert result.models["mlp"]["ok"]


def test_without_a_driver_the_device_is_missing_and_the_exit_code_says_so(small: Path) -> None:
    for device in ("cuda", "cuda:0"):
        command = [small / "bin" / "aotrun", "check", "--device", device]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 7
        assert "driver" in done.stderr


#: Asks a bridge which variant of a model it takes, and why not the others.
VARIANTS = """
import ctypes, os, sys
library = ctypes.CDLL(sys.argv[1])
text = ctypes.c_char_p()
assert library.aot_model_variants(os.fsencode(sys.argv[2]), None, ctypes.byref(text)) == 0
print(text.value.decode())
"""
#: Packages for GPUs as they may lie in one bundle, in any order.
FORMS = {
    "newest": ["sm_100", "compute_100"],
    "several": ["sm_80", "compute_80", "sm_90"],
    "old": ["sm_75", "compute_75"],
    "one": ["sm_86"],
}


def test_the_code_that_suits_a_gpu_best_is_taken(small: Path, tmp_path: Path) -> None:
    document = json.loads((small / "models" / "mlp" / "model.json").read_text())
    document["variants"] = [{"name": "cpu", "device": "cpu"}]
    document["variants"] += [{"name": name, "device": "cuda", "gpu_archs": archs} for name, archs in FORMS.items()]
    (tmp_path / "model.json").write_text(json.dumps(document))

    def told(gpu: str) -> tuple[str, dict[str, str | None]]:
        command = [sys.executable, "-c", VARIANTS, small / "lib" / "libaot_bridge.so", tmp_path]
        environment = {**os.environ, GPU_VARIABLE: gpu}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        assert done.returncode == 0, done.stderr
        answer = json.loads(done.stdout)
        return answer["chosen"], {each["name"]: each["obstacle"] for each in answer["variants"]}

    taken = {gpu: told(gpu)[0] for gpu in ("70", "75", "80", "86", "89", "90", "100", "103", "120")}
    assert taken == {
        "70": "cpu",
        "75": "old",
        "80": "several",
        "86": "one",
        "89": "one",
        "90": "several",
        "100": "newest",
        "103": "newest",
        "120": "newest",  # by its PTX, the newest that there is
    }
    _, obstacles = told("86")
    others = dict.fromkeys(("cpu", "several", "old", "one"))
    assert obstacles == {**others, "newest": "code for sm_100, compute_100; the GPU is sm_86"}


@pytest.mark.parametrize("folder", ["/usr/local/nvidia/lib64", "/usr/lib/wsl/lib", "/run/opengl-driver/lib"])
def test_a_driver_is_found_where_only_ld_library_path_would_lead(small: Path, folder: str, tmp_path: Path) -> None:
    """A double of libcuda that says when it is loaded; the machine's own places have none in an empty root."""
    box = isolation.empty_root()
    source = tmp_path / "driver.c"
    source.write_text(
        "#include <unistd.h>\n"
        '__attribute__((constructor)) static void say(void) { (void)!write(2, "driver loaded\\n", 14); }\n'
    )
    library = tmp_path / "libcuda.so.1"
    subprocess.run(["cc", "-shared", "-fPIC", "-Wl,-soname,libcuda.so.1", "-o", library, source], check=True)
    command = [f"{sandbox.INSIDE}/bin/aotrun", "check", "--device", "cuda"]
    for extra, loads in ((((library, f"{folder}/libcuda.so.1"),), 1), ((), 0)):
        done = subprocess.run(box.command(small, command, extra), capture_output=True, text=True, check=False)
        assert done.returncode == 7, done.stderr
        assert done.stderr.count("driver loaded") == loads, done.stderr


def test_a_cuda_bundle_does_not_answer_to_rocm(small: Path) -> None:
    command = [small / "bin" / "aotrun", "check", "--device", "rocm"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 5
    assert "cuda" in done.stderr


def test_a_development_bundle_links_into_the_environment(
    double: CudaDouble, exported: Callable[..., Path], tmp_path: Path
) -> None:
    output = tmp_path / "bundle"
    build(request_for(double, exported("mlp"), output), Reporter())
    links = {path.name: path for path in (output / "lib").iterdir() if path.is_symlink()}
    assert all(
        path.resolve().is_relative_to(double.site_packages) for path in links.values() if "libz" not in path.name
    )
    assert {"libtorch_cuda.so", "libtorch_cuda_linalg.so", double.layout.name("cudnn_graph")} <= set(links)
    done, result = probe(output / "lib", ["cufft", "cudnn"], {"libtorch_cuda.so": "torch_cuda_linalg"})
    assert done.returncode == 0, done.stderr
    assert result["called"] == [NUMBERS["cufft"], NUMBERS["cudnn"]]
    assert result["opened"] == {"libtorch_cuda.so": ""}


# ---- detection ------------------------------------------------------------------------------------------------------


def test_another_backend_is_refused_with_both_values(double: CudaDouble, tmp_path: Path) -> None:
    request = BuildRequest(backend=Backend.ROCM, output=tmp_path / "b", venv=double.prefix, portable=True)
    with pytest.raises(TorchMismatchError) as caught:
        build(request, Reporter())
    assert "rocm" in caught.value.what
    assert double.layout.version in caught.value.what
    assert "aotpack init --backend rocm" in caught.value.fix


@pytest.mark.parametrize("arch", ["gfx90a", "sm_90a", "90"])
def test_a_word_that_is_no_gpu_is_refused(double: CudaDouble, tmp_path: Path, arch: str) -> None:
    with pytest.raises(UsageError) as caught:
        dry_run(request_for(double, None, tmp_path / "b", portable=True, archs=(arch,)), Reporter())
    assert arch in caught.value.what


def test_no_library_of_the_bundle_names_this_machine(whole: Path, double: CudaDouble) -> None:
    libraries = [path for path in sorted((whole / "lib").iterdir()) if path.is_file() and is_elf(path)]
    assert whole / "lib" / "libtorch_cuda.so" in libraries
    for path in libraries:
        assert str(double.prefix).encode() not in path.read_bytes(), path
        assert os.fspath(Path.home() / ".cache").encode() not in path.read_bytes(), path
