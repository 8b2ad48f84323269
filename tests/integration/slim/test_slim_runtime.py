"""The slim runtime's libraries: what they export, every op against torch's own shim, sanitizers, memory, threads."""

from __future__ import annotations

import ctypes
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from elftools.elf.elffile import ELFFile

from aotpack.backend import Backend
from aotpack.environment.search import find_torch
from aotpack.environment.torch import TorchInfo
from aotpack.native.slim import SlimBuild, build_slim
from aotpack.runtime import slim_table
from aotpack.runtime.slim_table import OWN_NAMES, Part
from tests.fuzz.bridge_corpus import descriptor
from tests.support.bundles import sanitizing
from tests.support.packages.exporting import SOURCES, SUPPORT, cached_export

HERE = Path(__file__).resolve().parent
CASES = sorted(path.stem for path in (HERE / "cases").glob("[!_]*.py"))
HEADERS = ("c/shim.h", "c/shim_deprecated.h", "c/shim_cpu.h", "generated/c_shim_cpu.h", "generated/c_shim_aten.h")
MEGABYTE = 1 << 20


@pytest.fixture(scope="session")
def torch_info(backend_venv: Path) -> TorchInfo:
    return find_torch(Backend.CPU, venv=backend_venv)


@pytest.fixture(scope="session")
def built(torch_info: TorchInfo) -> SlimBuild:
    return build_slim(torch_info, tuple(Part))


class Core:
    """libaot_slim.so; its functions by torch's names."""

    def __init__(self, path: Path) -> None:
        self._library = ctypes.CDLL(str(path))
        self.torch_exception_get_what.restype = ctypes.c_char_p

    def __getattr__(self, name: str) -> Any:
        return getattr(self._library, OWN_NAMES.name_of(name))


@pytest.fixture(scope="session")
def core(built: SlimBuild) -> Core:
    return Core(built.libraries[0])


def link(target: Path, built: SlimBuild, source: Path, *flags: str | Path) -> Path:
    """Compile a program or library, whose calls of torch's shim and of libgomp then go to the slim runtime."""
    made = target.with_suffix(".o")
    subprocess.run(["gcc", "-c", "-fPIC", "-fopenmp", *flags, source, "-o", made], check=True)
    names = subprocess.check_output(["nm", "--undefined-only", "--format=just-symbols", made], text=True).split()
    own = [f"--redefine-sym={name}={OWN_NAMES.name_of(name)}" for name in names if OWN_NAMES.name_of(name) != name]
    subprocess.run(["objcopy", *own, made], check=True)
    runtime = [f"-Wl,-rpath,{built.libraries[0].parent}", *built.libraries[:2]]
    options = [flag for flag in flags if str(flag).startswith(("-shared", "-fsanitize"))]
    subprocess.run(["g++", *options, made, *runtime, "-o", target], check=True)
    return target


def exports(library: Path) -> set[str]:
    with library.open("rb") as stream:
        symbols = ELFFile(stream).get_section_by_name(".dynsym").iter_symbols()
        # Those without a section are names of versions.
        return {s.name for s in symbols if s["st_shndx"] not in ("SHN_UNDEF", "SHN_ABS")} - {""}


def declared(torch_info: TorchInfo) -> set[str]:
    """Every function of the shim's headers that a CPU build of torch has."""
    names: set[str] = set()
    for header in HEADERS:
        text = (torch_info.include_dirs[0] / "torch/csrc/inductor/aoti_torch" / header).read_text()
        text = re.sub(r"#ifdef USE_CUDA.*?#endif // USE_CUDA", "", text, flags=re.DOTALL)
        names.update(re.findall(r"AOTI_TORCH_EXPORT[^;]*?\b(aoti_\w+)\(", text))
    return names


@pytest.mark.parametrize("part", list(Part))
def test_each_library_exports_what_the_table_says(built: SlimBuild, part: Part) -> None:
    listed = {OWN_NAMES.name_of(name) for name, function in slim_table.table().items() if function.part is part}
    found = exports(built.libraries[list(Part).index(part)])
    assert {name for name in found if not name.startswith("aot_slim_")} == listed


def test_the_table_lists_every_function_of_the_headers(torch_info: TorchInfo) -> None:
    listed = {name for name in slim_table.table() if name.startswith("aoti_")}
    assert listed == declared(torch_info)


def test_the_core_is_small_and_needs_nothing_but_the_compilers_libraries(built: SlimBuild) -> None:
    library = built.libraries[0]
    assert library.stat().st_size <= 3 * MEGABYTE // 2
    with library.open("rb") as stream:
        needed = {tag.needed for tag in ELFFile(stream).get_section_by_name(".dynamic").iter_tags("DT_NEEDED")}
    system = {"libstdc++.so.6", "libm.so.6", "libaomp.so.1", "libgcc_s.so.1", "libc.so.6", "ld-linux-x86-64.so.2"}
    assert needed <= system


@pytest.mark.parametrize("part", list(Part))
def test_no_library_names_a_folder_of_this_machine(built: SlimBuild, part: Part) -> None:
    content = built.libraries[list(Part).index(part)].read_bytes()
    for folder in (slim_table.SOURCES, Path.home(), built.libraries[0].parents[1]):
        assert os.fsencode(folder) not in content


def drawn(
    python: Path, built: SlimBuild, modules: Sequence[str], *options: str, **environment: str
) -> dict[str, dict[str, list[str]]]:
    """Draw the cases of some modules, in one process: what failed, by module and function."""
    command = [python, HERE / "slim_harness.py", "--library", built.libraries[0], *options, *modules]
    own = {
        "LD_LIBRARY_PATH": os.pathsep.join(map(str, built.folders)),
        # Where other tests run beside it, torch's threads would spend most of the time on waiting for one another.
        "OMP_WAIT_POLICY": "passive",
    }
    done = subprocess.run(
        command,
        env={**os.environ, **own, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    report = done.stdout[done.stdout.find("{") :]
    assert done.returncode in (0, 1), done.stderr[-4000:]
    found: dict[str, dict[str, list[str]]] = json.loads(report)
    assert sorted(found) == sorted(modules)
    return {
        module: {function: problems for function, problems in functions.items() if problems}
        for module, functions in found.items()
    }


def run_harness(python: Path, built: SlimBuild, modules: Sequence[str], *options: str, **environment: str) -> None:
    """The same; fails with what differed."""
    assert not any(drawn(python, built, modules, *options, **environment).values())


@pytest.fixture(scope="session")
def differences(built: SlimBuild, backend_python: Path) -> dict[str, dict[str, list[str]]]:
    """What all cases have against the runtime: one process imports torch for all of them."""
    return drawn(backend_python, built, CASES)


@pytest.mark.xdist_group("slim-cases")
@pytest.mark.parametrize("module", CASES)
def test_ops_do_what_torch_does(differences: dict[str, dict[str, list[str]]], module: str) -> None:
    assert differences[module] == {}


def test_what_compares_nothing_is_a_failure(built: SlimBuild, backend_python: Path, tmp_path: Path) -> None:
    """Draws that both refuse, and a module without a case."""
    folder = tmp_path / "cases"
    folder.mkdir()
    (folder / "refused.py").write_text(
        "import torch\nfrom slim_harness import Generator, case\n\n\n"
        "@case('cpu_gcd', draws=3)\n"
        "def _(g):\n    return {'self': torch.ones(2), 'other': torch.ones(2)}  # gcd is for integers\n"
    )
    (folder / "empty.py").touch()
    for draws in ("1", "0.1"):
        found = drawn(backend_python, built, ["refused", "empty"], f"--draws={draws}", PYTHONPATH=str(tmp_path))
        assert found == {
            "refused": {"aoti_torch_cpu_gcd": ["torch raises in each of 3 draws, so that nothing was compared"]},
            "empty": {"": ["no case was drawn"]},
        }


def test_ops_inside_a_parallel_region_of_the_caller(built: SlimBuild, backend_python: Path, tmp_path: Path) -> None:
    region = link(tmp_path / "inside.so", built, SUPPORT / "inside_region.c", "-shared")
    modules = ["attention", "convolution", "matrix_products", "recurrent"]
    run_harness(backend_python, built, modules, f"--inside={region}", "--draws=0.5")


@pytest.fixture(scope="session")
def sanitized(torch_info: TorchInfo) -> SlimBuild:
    return sanitizing.address_runtime(torch_info)


@pytest.mark.xdist_group("asan")
def test_a_sample_of_each_op_under_sanitizers(sanitized: SlimBuild, backend_python: Path) -> None:
    run_harness(backend_python, sanitized, CASES, "--draws=0.04", **sanitizing.environment("libasan.so", "libubsan.so"))


@pytest.mark.xdist_group("asan")
def test_indices_out_of_range_touch_nothing(sanitized: SlimBuild, backend_python: Path) -> None:
    # Torch raises, and so must we, before anything outside of a tensor is read or written.
    environment = sanitizing.environment("libasan.so", "libubsan.so")
    options = ["--bad-indices=0.9", "--draws=0.4"]
    run_harness(backend_python, sanitized, ["indexing", "lookup", "pooling"], *options, **environment)


@pytest.mark.sanitizers
@pytest.mark.xdist_group("asan")
@pytest.mark.parametrize("module", CASES)
def test_ops_under_sanitizers(sanitized: SlimBuild, backend_python: Path, module: str) -> None:
    run_harness(backend_python, sanitized, [module], **sanitizing.environment("libasan.so", "libubsan.so"))


@pytest.mark.xdist_group("asan")
def test_models_under_sanitizers(
    sanitized: SlimBuild, backend_venv: Path, exported: Callable[..., Path], tmp_path: Path
) -> None:
    models = {"core": exported("mlp"), "mlp": exported("mlp", constants="updatable"), "convnet": exported("convnet")}
    bundle = sanitizing.slim_bundle(tmp_path / "bundle", backend_venv, models, sanitized)
    for name in models:
        sanitizing.check(bundle, name)


@pytest.fixture(scope="session")
def calls_out_of_range(backend_venv: Path, backend_python: Path) -> dict[str, Any]:
    """Calls of `safety_models.Indexing` with an index out of range, and whether eager PyTorch raises."""
    command = [backend_python, "-W", "ignore", HERE / "indices_out_of_range.py", "eager"]
    return json.loads(subprocess.check_output(command, env={**os.environ, "PYTHONPATH": str(SOURCES)}))


@pytest.mark.xdist_group("asan")
@pytest.mark.parametrize("threads", [1, 2])
def test_a_model_refuses_indices_that_torch_refuses(
    sanitized: SlimBuild,
    backend_venv: Path,
    exported: Callable[..., Path],
    calls_out_of_range: dict[str, Any],
    tmp_path: Path,
    threads: int,
) -> None:
    models = {
        "indexing": cached_export(backend_venv, SOURCES / "safety_models.py", function="indexing"),
        "convnet": exported("convnet"),  # so that the bundle takes both libraries, as others do: compiled once
    }
    bundle = sanitizing.slim_bundle(tmp_path / "bundle", backend_venv, models, sanitized)
    done = subprocess.run(
        [sys.executable, HERE / "indices_out_of_range.py", bundle, str(threads)],
        env={**sanitizing.environment("libasan.so", "libubsan.so"), "PYTHONPATH": str(bundle / "runner")},
        input=json.dumps(calls_out_of_range),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-8000:]
    calls, errors = calls_out_of_range["calls"], json.loads(done.stdout)
    assert [call for call, error in zip(calls, errors, strict=True) if call["raises"] and error is None] == []
    assert {error for error in errors if error is not None and "out of" not in error} == set()
    assert sum(call["raises"] for call in calls) > len(calls) // 2


def test_a_check_that_fails_in_a_parallel_region_is_an_error(
    built: SlimBuild, torch_info: TorchInfo, tmp_path: Path
) -> None:
    flags = ["-std=c++17", "-O1", "-isystem", torch_info.include_dirs[0]]
    program = link(tmp_path / "leaving_regions", built, HERE / "leaving_regions.cpp", *flags)
    for threads in ("1", "2", "5"):
        done = subprocess.run([program, threads, "2000"], capture_output=True, text=True, check=False, timeout=300)
        assert (done.returncode, done.stdout) == (0, ""), done.stderr[-2000:]


@pytest.mark.parametrize("threads", ["1", "2", "5"])
def test_openmp_does_what_it_should(built: SlimBuild, tmp_path: Path, threads: str) -> None:
    program = link(tmp_path / "openmp", built, HERE / "openmp.cpp", "-std=c++17", "-O1")
    environment = {**os.environ, "OMP_NUM_THREADS": threads}
    done = subprocess.run([program, "fork"], env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr[-2000:]


class Borrowing:
    """Makes handles of arrays of ctypes, which it keeps."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self.kept: list[Any] = []

    def __call__(self, dtype: str, values: Any, sizes: tuple[int, ...], packed: bytes = b"") -> ctypes.c_void_p:
        """A tensor of these sizes, as oneDNN packed it where there is a descriptor."""
        core = self.core
        strides = [1] * len(sizes)
        arrays = [(ctypes.c_int64 * len(sizes))(*numbers) for numbers in (sizes, strides)]
        layout = core.aoti_torch_layout__mkldnn() if packed else core.aoti_torch_layout_strided()
        self.kept.extend([*arrays, values, packed])
        handle = ctypes.c_void_p()
        number = getattr(core, f"aoti_torch_dtype_{dtype}")()
        where = (ctypes.c_int64(0), number, 0, -1, ctypes.byref(handle), layout)
        code = core.aoti_torch_create_tensor_from_blob_v2(
            values, ctypes.c_int64(len(sizes)), *arrays, *where, packed or None, ctypes.c_int64(len(packed))
        )
        assert code == 0, core.torch_exception_get_what()
        return handle

    def floats(self, handle: ctypes.c_void_p, count: int) -> list[float]:
        """The elements of a result."""
        data = ctypes.c_void_p()
        assert self.core.aoti_torch_get_data_ptr(handle, ctypes.byref(data)) == 0
        return list((ctypes.c_float * count).from_address(data.value or 0))


def test_a_quantised_layer_of_no_features_gives_its_bias(core: Core) -> None:
    """With torch it is a division by zero."""
    tensor = Borrowing(core)
    weights = tensor("int8", (ctypes.c_int8 * 1)(), (0, 4), descriptor((0, 4), (4, 1), ()))
    bias = tensor("float32", (ctypes.c_float * 4)(1, 2, 3, 4), (4,))
    result, number = ctypes.c_void_p(), ctypes.c_int32(core.aoti_torch_dtype_float32())
    code = core.aoti_torch_cpu__qlinear_pointwise_tensor(
        tensor("uint8", (ctypes.c_uint8 * 1)(), (5, 0)),
        tensor("float32", (ctypes.c_float * 1)(0.1), ()),
        tensor("int32", (ctypes.c_int32 * 1)(3), ()),
        weights,
        tensor("float32", (ctypes.c_float * 4)(1, 1, 1, 1), (4,)),
        tensor("int32", (ctypes.c_int32 * 4)(), (4,)),
        ctypes.byref(bias),
        ctypes.c_double(1),
        ctypes.c_int64(0),
        ctypes.byref(number),
        b"none",
        None,
        ctypes.c_int64(0),
        b"",
        ctypes.byref(result),
    )
    assert code == 0, core.torch_exception_get_what()
    assert tensor.floats(result, 20) == [1, 2, 3, 4] * 5


def test_a_histogram_whose_range_times_its_bins_is_infinite(core: Core) -> None:
    """With torch all are in the first bin, by a place that no integer holds."""
    tensor, result = Borrowing(core), ctypes.c_void_p()
    values = tensor("float32", (ctypes.c_float * 3)(1.02e37, 2.02e37, 3.02e37), (3,))
    code = core.aoti_torch_cpu_histc(
        values, ctypes.c_int64(100), ctypes.c_double(0), ctypes.c_double(4e37), ctypes.byref(result)
    )
    assert code == 0, core.torch_exception_get_what()
    assert {place: count for place, count in enumerate(tensor.floats(result, 100)) if count} == {25: 1, 50: 1, 75: 1}


def test_processors_beyond_the_first_1024_count(built: SlimBuild, tmp_path: Path) -> None:
    program = link(tmp_path / "many", built, HERE / "many_processors.cpp", "-std=c++17", "-O1")
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    done = subprocess.run([program], env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (0, "3\n"), done.stderr


def test_openmp_under_thread_sanitizer(torch_info: TorchInfo, tmp_path: Path) -> None:
    built = sanitizing.thread_runtime(torch_info)
    program = link(tmp_path / "openmp", built, HERE / "openmp.cpp", "-std=c++17", "-O1", "-fsanitize=thread")
    # Where the kernel spreads mappings wider than ThreadSanitizer expects, it does not start.
    command = ["setarch", "--addr-no-randomize", program]
    environment = {**os.environ, "OMP_NUM_THREADS": "4"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr[-8000:]


def test_vector_functions_are_within_their_ulps(built: SlimBuild, torch_info: TorchInfo, tmp_path: Path) -> None:
    # Unoptimised: optimised, all of it may use AVX-512, also on machines that have none.
    flags = ["-std=c++17", "-O0", "-mavx2", "-mfma", "-mavx512f", "-isystem", torch_info.include_dirs[0]]
    source = HERE / "slim_vector_functions.cpp"
    done = subprocess.run(
        [link(tmp_path / "check", built, source, *flags)], capture_output=True, text=True, check=False
    )
    assert done.stdout == ""
    assert done.returncode == 0


def empty_tensor(core: Core, *sizes: int) -> ctypes.c_void_p:
    """A contiguous float32 tensor of the library's own."""
    strides = [1]
    for size in reversed(sizes[1:]):
        strides.insert(0, strides[0] * size)
    c_sizes, c_strides = (ctypes.c_int64 * len(sizes))(*sizes), (ctypes.c_int64 * len(sizes))(*strides)
    handle = ctypes.c_void_p()
    code = core.aoti_torch_empty_strided(
        ctypes.c_int64(len(sizes)), c_sizes, c_strides, core.aoti_torch_dtype_float32(), 0, 0, ctypes.byref(handle)
    )
    if code != 0:
        raise MemoryError(core.torch_exception_get_what().decode())
    return handle


def memory(core: Core) -> tuple[int, int, int]:
    """Bytes in use, kept for reuse, and the most in use so far."""
    values = [ctypes.c_uint64() for _ in range(3)]
    core.aot_slim_memory(*(ctypes.byref(value) for value in values))
    return values[0].value, values[1].value, values[2].value


def test_memory_is_reused_and_bounded(core: Core) -> None:
    core.aot_slim_release_cache()
    before, _, _ = memory(core)
    for round_ in range(2000):
        handle = empty_tensor(core, 1 + round_ % 97, 4096)
        core.aoti_torch_delete_tensor_object(handle)
    in_use, cached, peak = memory(core)
    assert in_use == before
    assert cached <= 2 * peak + 4 * MEGABYTE
    core.aot_slim_release_cache()
    assert memory(core)[1] == 0


@pytest.fixture(scope="session")
def many_calls(
    built: SlimBuild, backend_venv: Path, exported: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A bundle with models for the program of many_calls.cpp, which lies in it."""
    folder = tmp_path_factory.mktemp("many") / "bundle"
    models = {
        "mlp": exported("mlp"),
        "ops": cached_export(backend_venv, SOURCES / "safety_models.py"),
        "convnet": exported("convnet"),
    }
    bundle = sanitizing.slim_bundle(folder, backend_venv, models, built)
    bridge = slim_table.SOURCES.parent
    sources = [HERE / "many_calls.cpp", bridge / "tests" / "calls.cpp"]
    includes = [f"-I{bridge / name}" for name in ("include", "tests")]
    library = bundle / "lib" / "libaot_bridge.so"
    flags = ["-std=c++17", "-O1", "-Wall", "-Wextra", "-Werror", f"-Wl,-rpath,{library.parent}"]
    subprocess.run(["g++", *flags, *includes, *sources, library, "-o", bundle / "many_calls"], check=True)
    return bundle


@pytest.mark.parametrize(("model", "calls"), [("mlp", 100_000), ("ops", 50_000), ("convnet", 500)])
def test_calls_leave_nothing_behind(many_calls: Path, model: str, calls: int) -> None:
    command = [many_calls / "many_calls", many_calls / "models" / model, str(calls)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    given_out, resident = map(int, done.stdout.split())
    assert given_out < 4096  # a few blocks that malloc keeps for a thread, which it counts; one lost a call is far more
    assert resident < MEGABYTE // 4


def test_memory_that_is_not_there_is_an_error_with_a_message(core: Core) -> None:
    before = memory(core)
    with pytest.raises(MemoryError, match="aoti_torch_empty_strided: out of memory"):
        empty_tensor(core, 1 << 43)
    assert memory(core)[2] == before[2]  # it was never in use: what may be kept for reuse is measured by that
    with pytest.raises(MemoryError, match="too many"):
        empty_tensor(core, 1 << 40, 1 << 40)


def test_many_threads_share_the_allocator(core: Core) -> None:
    def work() -> None:
        for i in range(2000):
            core.aoti_torch_delete_tensor_object(empty_tensor(core, 1 + i % 13, 512))

    before = memory(core)[0]
    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert memory(core)[0] == before


#: Forks while other threads make and free tensors; prints whether a child could not.
FORKING = """
import ctypes, os, signal, sys, threading

core, i64 = ctypes.CDLL(sys.argv[1]), ctypes.c_int64
sizes, strides = (i64 * 1)(1000), (i64 * 1)(1)

def once():
    handle = ctypes.c_void_p()
    assert not core.slim_torch_empty_strided(i64(1), sizes, strides, 6, 0, 0, ctypes.byref(handle))
    assert not core.slim_torch_delete_tensor_object(handle)

done = threading.Event()

def work():
    while not done.is_set():
        once()

def forked():
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        once()
        os._exit(0)
    return os.waitpid(child, 0)[1]

threads = [threading.Thread(target=work) for _ in range(2)]
for thread in threads: thread.start()
lost = any(forked() for _ in range(500))
done.set()
for thread in threads: thread.join()
print(lost)
"""


def test_a_child_has_memory_whatever_other_threads_were_doing(built: SlimBuild) -> None:
    environment = {**os.environ, "LD_LIBRARY_PATH": os.pathsep.join(map(str, built.folders))}
    command = [sys.executable, "-W", "ignore", "-c", FORKING, built.libraries[0]]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "False\n"), done.stderr[-2000:]


#: Convolves and runs an LSTM in many threads; prints how many results differ from those of one thread.
CONCURRENT = """
import ctypes, sys, threading
import numpy as np

core, _ = (ctypes.CDLL(path, mode=ctypes.RTLD_GLOBAL) for path in sys.argv[1:])
i64, rng = ctypes.c_int64, np.random.default_rng(0)

def borrow(array):
    sizes = (i64 * array.ndim)(*array.shape)
    strides = (i64 * array.ndim)(*(s // 4 for s in array.strides))
    handle = ctypes.c_void_p()
    create = core.slim_torch_create_tensor_from_blob
    assert not create(ctypes.c_void_p(array.ctypes.data), i64(array.ndim), sizes, strides, i64(0), 6, 0, 0,
                      ctypes.byref(handle))
    return handle

def numbers(*shape):
    return rng.standard_normal(shape, dtype=np.float32) * np.float32(0.3)

arrays = [numbers(2, 8, 20, 20), numbers(24, 8, 3, 3), numbers(6, 3, 16), numbers(64, 16), numbers(64, 16), numbers(64),
          numbers(64), numbers(1, 3, 16), numbers(1, 3, 16)]
pairs, zeros = (i64 * 2)(1, 1), (i64 * 2)(0, 0)

def bytes_of(handle, count):
    data = ctypes.c_void_p()
    assert not core.slim_torch_get_data_ptr(handle, ctypes.byref(data))
    content = ctypes.string_at(data.value, count * 4)
    core.slim_torch_delete_tensor_object(handle)
    return content

def once():
    x, w, *lstm = map(borrow, arrays)
    out, rest = ctypes.c_void_p(), [ctypes.c_void_p() for _ in range(4)]
    geometry = pairs, i64(2), pairs, i64(2), pairs, i64(2), 0, zeros, i64(2), i64(1)
    assert not core.slim_torch_cpu_convolution(x, w, None, *geometry, ctypes.byref(out))
    assert not core.slim_torch_cpu_mkldnn_rnn_layer(*lstm, 0, None, i64(0), i64(2), i64(16), i64(1), 1, 0, 0, 0,
                                                    *(ctypes.byref(r) for r in rest))
    result = bytes_of(out, 2 * 24 * 20 * 20) + bytes_of(rest[0], 6 * 3 * 16)
    for handle in (x, w, *lstm, *rest[1:]):
        core.slim_torch_delete_tensor_object(handle)
    return result

expected, wrong = once(), []

def work():
    for _ in range(100):
        if not np.allclose(np.frombuffer(once(), np.float32), np.frombuffer(expected, np.float32), atol=1e-5):
            wrong.append(1)

threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(len(wrong))
"""


def test_many_threads_convolve_at_once(built: SlimBuild) -> None:
    folders = os.pathsep.join(map(str, built.folders))
    environment = {**os.environ, "LD_LIBRARY_PATH": folders, "OMP_NUM_THREADS": "2"}
    command = [sys.executable, "-c", CONCURRENT, *built.libraries]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "0\n"), done.stderr[-2000:]


def test_a_view_that_leaves_its_storage_is_refused(core: Core) -> None:
    base = empty_tensor(core, 4, 4)
    view = ctypes.c_void_p()
    sizes, strides = (ctypes.c_int64 * 1)(17), (ctypes.c_int64 * 1)(1)
    code = core.aoti_torch__reinterpret_tensor(
        base, ctypes.c_int64(1), sizes, strides, ctypes.c_int64(0), ctypes.byref(view)
    )
    assert code == 1
    assert b"needs 68 bytes of a storage of 64" in core.torch_exception_get_what()
    core.aoti_torch_delete_tensor_object(base)


def test_errors_belong_to_the_thread_that_made_them(core: Core) -> None:
    core.aoti_torch_get_dim(None, None)
    assert b"a tensor argument is null" in core.torch_exception_get_what()
    seen: list[bytes] = []
    thread = threading.Thread(target=lambda: seen.append(core.torch_exception_get_what()))
    thread.start()
    thread.join()
    assert seen == [b""]
