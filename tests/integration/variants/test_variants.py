"""One package and one bundle for every CPU: what each variant's code uses, which one is taken, what it computes.

qemu-user emulates what comes before AVX-512: Nehalem and Haswell are real runs of `baseline` and `avx2`. Told to be a
Skylake server it warns that AVX-512 is missing and shows a CPU without it. Its 7.2 knows no Sapphire Rapids.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import re
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
from aotpack.elf.cpu_features import features_used
from aotpack.elf.edits import ElfEdit, apply_edit
from aotpack.package.metadata import OF_INT8
from aotpack.package.model import read_model
from aotpack.progress.reporter import Reporter
from tests.support.machines import isolation, seccomp
from tests.support.packages.exporting import cached_export
from tests.support.sharing import once

pytestmark = pytest.mark.xdist_group("variants")

ALL = "baseline,avx2,avx512"
MODELS = ("mlp", "convnet", "transformer")
#: x86-64-v2, v3 and v4 as the bridge names what is in them.
V2 = {"sse3", "ssse3", "sse4_1", "sse4_2", "popcnt", "cx16"}
V3 = V2 | {"avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "lzcnt", "movbe"}
V4 = V3 | {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}
LEVELS = {"baseline": V2, "avx2": V3, "avx512": V4}
HAS_AMX = "amx_bf16" in Path("/proc/cpuinfo").read_text()
needs_amx = pytest.mark.skipif(not HAS_AMX, reason="NO AMX HERE: its variant is compiled, and does not run")
#: Linux's number of arch_prctl, and what asks for the registers of AMX (bridge/src/base/amx.cpp).
_ARCH_PRCTL, _REQUEST_PERMISSION = 158, 0x1023


def best_here() -> str:
    """The best of ALL that this machine runs."""
    flags = set(Path("/proc/cpuinfo").read_text().split())
    return "avx512" if flags >= {"avx512f", "avx512dq", "avx512bw", "avx512vl"} else "avx2"


@pytest.fixture(scope="module")
def packages(exported: Callable[..., Path]) -> dict[str, Path]:
    return {name: exported(name, cpu_isa=ALL) for name in MODELS}


@pytest.fixture(scope="module")
def bundle(packages: dict[str, Path], backend_venv: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All three models with the slim runtime, which is what runs on CPUs that old."""

    def make(folder: Path) -> None:
        request = BuildRequest(
            backend=Backend.CPU,
            output=folder / "bundle",
            models=tuple(packages.items()),
            portable=True,
            runtime="slim",
            venv=backend_venv,
        )
        build(request, Reporter())

    return once(tmp_path_factory, "variants", make) / "bundle"


def aotrun(
    bundle: Path, *words: str, before: Callable[[], None] | None = None, **variables: str
) -> subprocess.CompletedProcess[str]:
    command = [bundle / "bin" / "aotrun", *words]
    environment = {**os.environ, **variables}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, preexec_fn=before)


@pytest.mark.parametrize("name", MODELS)
def test_each_variant_uses_what_its_level_has(packages: dict[str, Path], name: str) -> None:
    """Told from the instructions, with nothing taken for granted: a package that lies ends in SIGILL elsewhere."""
    model = read_model(packages[name])
    assert [variant.name for variant in model.metadata.variants] == list(LEVELS)
    libraries = [(entry, place) for entry, place in model.members if place.endswith(".so")]
    assert len(libraries) == len(LEVELS)
    with zipfile.ZipFile(packages[name]) as archive:
        for entry, place in libraries:
            variant = next(each for each in model.metadata.variants if each.library == place)
            with archive.open(entry) as stream:
                used = features_used(stream)
            assert used is not None
            # tzcnt, which compilers write for bsf where it does not matter, decodes as bmi1.
            assert used - {"bmi1"} <= LEVELS[variant.name]
            assert set(variant.cpu_features) <= LEVELS[variant.name]


def test_the_weights_are_there_once(packages: dict[str, Path]) -> None:
    """All variants of a model multiply by the same ones; only small products have a copy in an order of their own."""
    metadata = read_model(packages["transformer"]).metadata
    first, *others = (set(variant.constants or range(len(metadata.constants))) for variant in metadata.variants)
    sizes = [constant.size or 0 for constant in metadata.constants]
    for other in others:
        assert first & other
    assert sum(sizes[index] for index in set().union(*others) - first) <= 3 * sum(sizes[index] for index in first)


@pytest.mark.parametrize("variant", LEVELS)
@pytest.mark.parametrize("name", MODELS)
def test_each_variant_computes_what_eager_pytorch_does(bundle: Path, name: str, variant: str) -> None:
    if variant == "avx512" and best_here() != "avx512":
        pytest.skip("this machine has no AVX-512")
    done = aotrun(bundle, "check", "--model", name, AOT_VARIANT=variant)
    assert done.returncode == 0, done.stderr
    assert f"{name}, variant {variant}: as recorded at export" in done.stdout


def test_the_best_is_taken_and_said(bundle: Path) -> None:
    document = json.loads(aotrun(bundle, "info", "--json").stdout)
    for name in MODELS:
        told = document["variants"][name]
        assert told["chosen"] == best_here()
        assert [variant["name"] for variant in told["variants"]] == list(LEVELS)
        assert [each["obstacle"] for each in told["variants"][:2]] == [None, None]
    text = aotrun(bundle, "info").stdout
    assert f"variant {best_here()}: needs" in text
    assert "taken (the best that this machine can run)" in text


def test_a_package_by_itself_is_chosen_from_as_well(portable: Path, packages: dict[str, Path]) -> None:
    """With the full runtime, which code of the exporter names."""
    for variant in ("baseline", "avx2"):
        done = aotrun(portable, "bench", "--model", str(packages["mlp"]), "--json", AOT_VARIANT=variant)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["variant"] == variant


def test_a_name_that_is_none_is_a_usage_error(bundle: Path) -> None:
    done = aotrun(bundle, "check", "--model", "mlp", AOT_VARIANT="avx3")
    assert done.returncode == 2
    assert 'has no variant "avx3"; it has baseline, avx2, avx512' in done.stderr


@pytest.fixture
def demanding(bundle: Path, tmp_path: Path) -> Iterator[Path]:
    """The MLP's folder with what no CPU has asked for by all but the first variant, and a function to change more."""
    folder = bundle / "models" / "demanding"
    shutil.copytree(bundle / "models" / "mlp", folder)
    document = json.loads((folder / "model.json").read_text())
    for variant in document["variants"][1:]:
        variant["cpu_features"] = ["avx1024"]
    (folder / "model.json").write_text(json.dumps(document))
    yield folder
    shutil.rmtree(folder)


def told(bundle: Path, folder: Path) -> dict[str, Any]:
    library = ctypes.CDLL(str(bundle / "lib" / "libaot_bridge.so"))
    text = ctypes.c_char_p()
    assert library.aot_model_variants(os.fsencode(folder), None, ctypes.byref(text)) == 0
    assert text.value is not None
    document = json.loads(text.value)
    assert isinstance(document, dict)
    return document


def test_what_the_machine_cannot_run_is_passed_over(bundle: Path, demanding: Path) -> None:
    assert aotrun(bundle, "check", "--model", "demanding").returncode == 0
    document = told(bundle, demanding)
    assert document["chosen"] == "baseline"
    assert document["variants"][2]["obstacle"] == "this CPU lacks avx1024"


def test_one_that_is_forced_and_cannot_run_is_refused(bundle: Path, demanding: Path) -> None:
    done = aotrun(bundle, "bench", "--model", "demanding", AOT_VARIANT="avx512")
    assert done.returncode == 7
    assert "needs CPU features that this machine lacks: avx1024" in done.stderr


def test_a_machine_below_the_least_is_refused(bundle: Path, demanding: Path) -> None:
    document = json.loads((demanding / "model.json").read_text())
    document["variants"][0]["cpu_features"] = ["sse9"]
    (demanding / "model.json").write_text(json.dumps(document))
    done = aotrun(bundle, "bench", "--model", "demanding")
    assert done.returncode == 7
    assert "needs CPU features that this machine lacks: sse9" in done.stderr
    assert told(bundle, demanding)["chosen"] is None


@pytest.fixture
def with_gpu(bundle: Path) -> Iterator[Path]:
    """The MLP's folder with a variant for a GPU in a folder of its own: a double, whose code is the CPU's."""
    folder = bundle / "models" / "with_gpu"
    shutil.copytree(bundle / "models" / "mlp", folder)
    shutil.copytree(bundle / "models" / "mlp", folder / "cuda-sm_90")
    inner = json.loads((folder / "cuda-sm_90" / "model.json").read_text())
    first = inner.pop("variants")[0]
    inner["constants"] = [inner["constants"][index] for index in first["constants"]]
    inner |= {"device": "cuda", "gpu_archs": ["sm_90"]}
    (folder / "cuda-sm_90" / "model.json").write_text(json.dumps(inner))
    document = json.loads((folder / "model.json").read_text())
    variant = {"name": "cuda-sm_90", "folder": "cuda-sm_90", "device": "cuda", "gpu_archs": ["sm_90"]}
    document["variants"].append(variant)
    (folder / "model.json").write_text(json.dumps(document))
    yield folder
    shutil.rmtree(folder)


def test_without_a_driver_the_cpu_s_variant_runs(bundle: Path, with_gpu: Path) -> None:
    done = aotrun(bundle, "check", "--model", "with_gpu")
    assert done.returncode == 0, done.stderr
    assert f"with_gpu, variant {best_here()}: as recorded" in done.stdout
    document = told(bundle, with_gpu)
    assert document["chosen"] == best_here()
    # This bundle's bridge is for the CPU alone.
    assert "CUDA" in document["variants"][3]["obstacle"]


def test_a_device_that_is_named_is_not_replaced(bundle: Path, with_gpu: Path) -> None:
    assert aotrun(bundle, "check", "--model", "with_gpu", "--device", "cpu").returncode == 0
    done = aotrun(bundle, "bench", "--model", "with_gpu", "--device", "cuda")
    assert done.returncode == 5
    assert "a CUDA device was asked of a bridge built for the CPU" in done.stderr


def test_a_variant_in_a_folder_of_its_own(bundle: Path, with_gpu: Path) -> None:
    """Its own description says how its weights lie, and its code looks one folder further up for the runtime."""
    for path in (with_gpu / "model.json", with_gpu / "cuda-sm_90" / "model.json"):
        path.write_text(path.read_text().replace('"cuda"', '"cpu"'))
    library = with_gpu / "cuda-sm_90" / "model.so"
    apply_edit(library, ElfEdit(search_path="$ORIGIN/../../../lib:$ORIGIN/../../../lib/gcc"), library)
    done = aotrun(bundle, "check", "--model", "with_gpu")
    assert done.returncode == 0, done.stderr
    assert "with_gpu, variant cuda-sm_90: as recorded" in done.stdout


def emulated(cpu: str, bundle: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """The bundle's runner as on another CPU."""
    qemu = shutil.which("qemu-x86_64")
    if qemu is None:
        isolation.unproved("qemu-user is not installed: variants are not proven on other CPUs (tests/system-packages)")
    # What the launcher would do, which would leave the emulator with the first of its steps.
    loader = next((bundle / "libc").glob("ld-linux*"))
    command = [qemu, "-cpu", cpu, loader, "--library-path", bundle / "libc", bundle / "python" / "bin" / "python3"]
    command += ["-I", "-S", "-B", bundle / "runner" / "aotrun" / "__main__.py", *words]
    return subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(("cpu", "variant"), [("Nehalem", "baseline"), ("Haswell", "avx2"), ("Skylake-Server", "avx2")])
def test_other_cpus(bundle: Path, cpu: str, variant: str, name: str) -> None:
    """By emulation; of a Skylake server qemu 7.2 shows what is not AVX-512."""
    done = emulated(cpu, bundle, "check", "--model", name)
    assert done.returncode == 0, done.stderr
    assert f"{name}, variant {variant}: as recorded at export" in done.stdout


@pytest.fixture(scope="module")
def low(backend_venv: Path) -> Path:
    """The package of a model that AMX has instructions for; compiled here, whatever this machine has."""
    return cached_export(backend_venv, Path(__file__).with_name("low_precision.py"), cpu_isa="avx2,amx")


@pytest.fixture(scope="module")
def low_bundles(low: Path, backend_venv: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """It in a bundle of each runtime."""

    def make(folder: Path) -> None:
        for runtime in ("slim", "full"):
            request = BuildRequest(
                backend=Backend.CPU,
                output=folder / runtime,
                models=(("low", low),),
                portable=True,
                runtime=runtime,  # type: ignore[arg-type]
                venv=backend_venv,
            )
            build(request, Reporter())

    folder = once(tmp_path_factory, "low", make)
    return {runtime: folder / runtime for runtime in ("slim", "full")}


def test_amx_for_what_multiplies_bfloat16(low: Path, low_bundles: dict[str, Path]) -> None:
    variants = read_model(low).metadata.variants
    assert [variant.name for variant in variants] == ["avx2", "amx"]
    assert {"amx_tile", "amx_bf16"} <= set(variants[1].cpu_features)
    assert not {"avx512f", "amx_tile"} & set(variants[0].cpu_features)
    for bundle in low_bundles.values():
        done = aotrun(bundle, "check", "--model", "low")
        assert done.returncode == 0, done.stderr
        assert f"low, variant {'amx' if HAS_AMX else 'avx2'}: as recorded" in done.stdout
        info = aotrun(bundle, "info").stdout
        assert "amx: needs" in info
        assert ("cannot run here: this CPU lacks amx_" in info) != HAS_AMX


def test_small_layers_of_bytes(backend_venv: Path, tmp_path: Path) -> None:
    """Generated code multiplies them by VNNI; without it there is only a loop, so that they are the runtime's."""
    package = cached_export(backend_venv, Path(__file__).with_name("small_bytes.py"), cpu_isa="avx2,avx512")
    model = read_model(package)
    features = [set(variant.cpu_features) & {"avx2", "avx512_vnni"} for variant in model.metadata.variants]
    assert features == [{"avx2"}, {"avx2", "avx512_vnni"}]
    with zipfile.ZipFile(package) as archive:
        code = {place: archive.read(entry) for entry, place in model.members if place.endswith(".so")}
    calls = [b"qlinear_pointwise" in code[variant.library] for variant in model.metadata.variants]
    assert calls == [True, False]
    bundle = tmp_path / "bundle"
    models = (("small", package),)
    build(
        BuildRequest(backend=Backend.CPU, output=bundle, models=models, runtime="slim", venv=backend_venv), Reporter()
    )
    assert OF_INT8 in aotrun(bundle, "info").stdout
    for variant in ("avx2", "avx512") if "avx512_vnni" in Path("/proc/cpuinfo").read_text() else ("avx2",):
        done = aotrun(bundle, "check", "--model", "small", AOT_VARIANT=variant)
        assert done.returncode == 0, done.stderr


def test_bfloat16_without_avx512(low_bundles: dict[str, Path]) -> None:
    """oneDNN, and so libtorch, has no layers of it there. Exported on such a CPU, a package asks for none."""
    assert emulated("Haswell", low_bundles["slim"], "check", "--model", "low").returncode == 0
    done = emulated("Haswell", low_bundles["full"], "check", "--model", "low")
    if best_here() == "avx512":
        assert done.returncode == 7
        obstacle = "has layers of bfloat16, for which libtorch needs CPU features that this machine lacks: avx512"
        assert f"low {obstacle}" in done.stderr
        # The same is told before it is loaded, of every variant whose code could run: its layers are in all of them.
        info = emulated("Haswell", low_bundles["full"], "info", "--model", "low").stdout
        assert re.search(rf"variant avx2: needs .*; cannot run here: {obstacle}", info)
        assert "taken" not in info
        document = json.loads(emulated("Haswell", low_bundles["full"], "info", "--json").stdout)["variants"]["low"]
        assert document["chosen"] is None
        assert document["obstacle"].startswith(obstacle)
        slim = emulated("Haswell", low_bundles["slim"], "info").stdout
        assert re.search(r"variant avx2: needs .*; taken \(the best that this machine can run\)", slim)
    else:
        assert done.returncode == 0, done.stderr


@pytest.fixture(params=[True, False], ids=["variants", "one form"])
def as_float16(low_bundles: dict[str, Path], request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The full bundle whose model is said to have layers of float16, which few CPUs' oneDNN has."""
    bundle = tmp_path / "bundle"
    shutil.copytree(low_bundles["full"], bundle, symlinks=True, copy_function=os.link)
    path = bundle / "models" / "low" / "model.json"
    document = json.loads(path.read_text())
    if not document["layouts"]:
        pytest.skip("oneDNN packs no bfloat16 for this processor")
    document["layouts"] = [layout[:208] + "01000000" + layout[216:] for layout in document["layouts"]]
    if not request.param:
        del document["variants"]
    described = json.loads((bundle / "bundle.json").read_text())
    described["models"]["low"] = document
    for place, content in ((path, document), (bundle / "bundle.json", described)):
        place.unlink()  # not the other bundle's
        place.write_text(json.dumps(content))
    return bundle


def test_layers_that_libtorch_does_not_compute_here(as_float16: Path) -> None:
    """They are in all variants, so none is taken; and the one answer is what is told, refused and explained."""
    if {"avx512_fp16", "avx_ne_convert"} & set(Path("/proc/cpuinfo").read_text().split()):
        pytest.skip("this machine's oneDNN computes layers of float16")
    obstacle = "has layers of float16, for which libtorch needs CPU features that this machine lacks: avx512_fp16"
    document = told(as_float16, as_float16 / "models" / "low")
    assert (document["chosen"], document["obstacle"]) == (None, obstacle)
    assert document["variants"] == [] or document["variants"][0]["obstacle"] == obstacle
    info = aotrun(as_float16, "info", "--model", "low").stdout
    assert f"cannot run here: {obstacle}\n" in info
    assert "taken" not in info
    if document["variants"]:
        asked = aotrun(as_float16, "info", AOT_VARIANT="avx2").stdout
        assert f"; asked for by AOT_VARIANT, and cannot run here: {obstacle}\n" in asked
    done = aotrun(as_float16, "bench")
    assert done.returncode == 7
    assert f"/low {obstacle}\n" in done.stderr
    command = [as_float16 / "bin" / "aotrun", "doctor", "--explain", "-"]
    doctor = subprocess.run(command, input=done.stderr, capture_output=True, text=True, check=False)
    assert doctor.returncode == 7
    assert "AP616" in doctor.stdout
    assert "with --runtime slim" in doctor.stdout


def deny() -> None:
    """As a kernel before Linux 5.16 does, and a sandbox may."""
    seccomp.answer(_ARCH_PRCTL, errno.EPERM, argument=_REQUEST_PERMISSION)


def deceive() -> None:
    """The tiles are granted, and not there."""
    seccomp.answer(_ARCH_PRCTL, 0, argument=_REQUEST_PERMISSION)


@needs_amx
@pytest.mark.parametrize("runtime", ["slim", "full"])
def test_threads_and_children_use_tiles(low_bundles: dict[str, Path], runtime: str, tmp_path: Path) -> None:
    """Also threads that were there before anybody asked the kernel for them."""
    bundle = low_bundles[runtime]
    program = tmp_path / "tiles"
    flags = ["-std=gnu99", "-Wall", "-Wextra", "-Werror", "-pthread", f"-I{bundle}/include", f"-L{bundle}/lib"]
    flags += [f"-Wl,-rpath,{bundle}/lib:{bundle}/lib/gcc", "-Wl,--allow-shlib-undefined"]
    source = Path(__file__).with_name("tiles.c")
    subprocess.run(["gcc", *flags, source, "-o", program, "-laot_bridge"], check=True)
    for rows in ("7", "4096"):
        command = [program, bundle / "models" / "low", rows, "64", "3"]
        done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False, timeout=120)
        assert done.stdout == "variant amx: callers agree, child agrees\n", done.stderr
    done = subprocess.run(
        [*map(str, command), "count"], capture_output=True, text=True, check=False, timeout=120, preexec_fn=deceive
    )
    if done.returncode == seccomp.UNAVAILABLE:
        isolation.unproved("NO SECCOMP HERE: nothing shows that tiles are used")
    assert done.stdout == "all threads use tiles\n", done.stderr


@needs_amx
@pytest.mark.parametrize("runtime", ["slim", "full"])
def test_a_kernel_that_refuses_tiles(low_bundles: dict[str, Path], runtime: str) -> None:
    bundle = low_bundles[runtime]
    done = aotrun(bundle, "check", "--model", "low", before=deny)
    if done.returncode == seccomp.UNAVAILABLE:
        isolation.unproved("NO SECCOMP HERE: no kernel refuses tiles")
    assert "low, variant avx2: as recorded" in done.stdout
    refusal = "the kernel refuses the registers of AMX: Operation not permitted"
    assert f"cannot run here: {refusal}" in aotrun(bundle, "info", before=deny).stdout
    doctor = " ".join(aotrun(bundle, "doctor", before=deny).stdout.split())
    assert f"low runs as avx2; for amx {refusal}" in doctor
    done = aotrun(bundle, "check", "--model", "low", before=deny, AOT_VARIANT="amx")
    assert done.returncode == 7
    assert "uses AMX, and the kernel refuses this process its registers" in done.stderr
