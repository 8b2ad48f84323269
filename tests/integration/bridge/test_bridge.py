"""The bridge by its C API: real models in a process without torch, compared with eager outputs; and every bad input."""

from __future__ import annotations

import ctypes as c
import hashlib
import io
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from aotpack.backend import Backend
from aotpack.environment.search import find_torch
from aotpack.native.bridge import RUNPATH, build_bridge
from tests.fuzz.bridge_corpus import descriptor
from tests.support.bundles.bridge_client import (
    BFLOAT,
    Array,
    Bridge,
    BridgeError,
    Device,
    DeviceReport,
    Dtype,
    Managed,
    Model,
    RunStats,
    unpack,
    view,
)
from tests.support.packages.exporting import CACHE, EXAMPLES, ROOT, cached_export

HERE = Path(__file__).parent
USAGE, MODEL_MISMATCH, DAMAGED = 2, 5, 6


@pytest.fixture(scope="session")
def library(backend_venv: Path) -> Path:
    """libaot_bridge.so, with libaot_proxy.so beside it, that finds torch in the venv."""
    torch = find_torch(Backend.CPU, venv=backend_venv)
    runpath = (*RUNPATH, str(torch.lib_dirs[0]))
    return build_bridge(torch, Backend.CPU, proxy=True, runpath=runpath)[0]


@pytest.fixture(scope="session")
def bridge(library: Path) -> Bridge:
    assert "torch" not in sys.modules
    return Bridge(library)


@pytest.fixture(scope="session")
def everything(backend_venv: Path) -> Path:
    """The package of bridge_models.py."""
    return cached_export(backend_venv, HERE / "bridge_models.py")


@pytest.fixture(scope="session")
def plain(backend_venv: Path) -> Path:
    """A package made by PyTorch alone, with its recorded sample beside it."""
    source = HERE / "plain_export.py"
    folder = CACHE / f"plain-{hashlib.sha256(source.read_bytes()).hexdigest()[:16]}"
    package = folder / "plain.pt2"
    if not package.exists():
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run([backend_venv / "bin" / "python", source, folder], check=True, capture_output=True)
    return package


@pytest.fixture
def mlp(bridge: Bridge, exported: Callable[..., Path]) -> Iterator[Model]:
    with bridge.load(exported("mlp")) as model:
        yield model


class Sample:
    """The inputs and eager outputs that a package carries."""

    def __init__(self, package: Path) -> None:
        with zipfile.ZipFile(package) as archive:
            name = next(name for name in archive.namelist() if name.endswith("aotpack/sample.npz"))
            arrays = np.load(io.BytesIO(archive.read(name)))
        self.inputs: list[Array] = [arrays[key] for key in arrays.files if key.startswith("in.")]
        self.outputs: list[Array] = [arrays[key] for key in arrays.files if key.startswith("out.")]
        self.input_names = [key[3:] for key in arrays.files if key.startswith("in.")]


def refused(call: Callable[[], object], status: int, *parts: str) -> None:
    """The call fails with this status and a message of three lines that has all parts."""
    with pytest.raises(BridgeError) as caught:
        call()
    assert caught.value.status == status, caught.value.message
    assert len(caught.value.message.splitlines()) == 3
    for part in parts:
        assert part in caught.value.message


# ---- results ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["mlp", "multi", "data_dependent", "no_shim", "inplace"])
def test_examples_agree_with_eager(bridge: Bridge, exported: Callable[..., Path], tmp_path: Path, name: str) -> None:
    package = exported(name)
    sample = Sample(package)
    for path in (package, unpack(package, tmp_path / "model")):
        with bridge.load(path) as model:
            dtypes = [model.info("input", index).dtype for index in range(len(sample.inputs))]
            arrays = [array.copy() for array in sample.inputs]
            outputs = model.run([view(array, dtype) for array, dtype in zip(arrays, dtypes, strict=True)])
            copies = [model.copy(output) for output in outputs]
            for output in outputs:
                bridge.c.aot_tensor_free(output)
        for copy, expected in zip(copies, sample.outputs, strict=True):
            assert copy.dtype == expected.dtype
            rounding = 2e-3 if copy.dtype == np.float16 else 1e-5
            np.testing.assert_allclose(copy, expected, rtol=rounding, atol=rounding)


def test_dynamic_sizes(mlp: Model, exported: Callable[..., Path]) -> None:
    sample = Sample(exported("mlp"))
    for rows in (1, 2, len(sample.inputs[0])):
        (output,) = mlp(sample.inputs[0][:rows])
        np.testing.assert_allclose(output, sample.outputs[0][:rows], rtol=1e-5, atol=1e-6)


def test_every_dtype_and_every_kind_of_output(bridge: Bridge, everything: Path) -> None:
    sample = Sample(everything)
    with bridge.load(everything) as model:
        views = [view(array, model.info("input", i).dtype) for i, array in enumerate(sample.inputs)]
        assert {(v.dtype.code, v.dtype.bits) for v in views} >= {(BFLOAT, 16), (5, 128), (6, 8), (1, 64)}
        outputs = model.run(views)
        for index, (output, expected) in enumerate(zip(outputs, sample.outputs, strict=True)):
            copy = model.copy(output)
            assert copy.dtype == expected.dtype, index
            np.testing.assert_array_equal(copy, expected, err_msg=f"output {index}")
            bridge.c.aot_tensor_free(output)


def test_empty_inputs(bridge: Bridge, everything: Path) -> None:
    sample = Sample(everything)
    with bridge.load(everything) as model:
        views = [view(array, model.info("input", i).dtype) for i, array in enumerate(sample.inputs)]
        rows = sample.input_names.index("rows")
        views[rows] = view(np.empty((0, 4), np.float32))
        views[rows].data = None
        outputs = model.run(views)
        scaled, total = model.copy(outputs[16]), model.copy(outputs[17])
        for output in outputs:
            bridge.c.aot_tensor_free(output)
    assert scaled.shape == (0, 4)
    assert total == 0


def test_inputs_in_any_order_and_alignment(mlp: Model, exported: Callable[..., Path]) -> None:
    sample = Sample(exported("mlp"))
    x = sample.inputs[0]
    spread = np.zeros((x.shape[0] * 2, x.shape[1] * 3), np.float32)
    spread[::2, ::3] = x
    shifted = np.zeros(x.nbytes + 1, np.uint8)[1:].view(np.uint8)
    shifted[:] = np.frombuffer(x.tobytes(), np.uint8)
    misaligned = np.ndarray(x.shape, np.float32, shifted.data)
    for array in (np.asfortranarray(x), spread[::2, ::3], misaligned):
        np.testing.assert_allclose(mlp(array)[0], sample.outputs[0], rtol=1e-5, atol=1e-6)
    row = np.broadcast_to(x[:1], x.shape)  # a stride of 0
    np.testing.assert_allclose(mlp(row)[0], np.repeat(sample.outputs[0][:1], len(x), axis=0), rtol=1e-5, atol=1e-6)


def test_the_byte_offset_counts(mlp: Model, exported: Callable[..., Path]) -> None:
    sample = Sample(exported("mlp"))
    x = sample.inputs[0]
    whole = view(np.concatenate([np.full_like(x, np.nan), x]))
    half = view(x)
    half.data, half.byte_offset = whole.data, x.nbytes
    (output,) = mlp.run([half])
    np.testing.assert_allclose(mlp.copy(output), sample.outputs[0], rtol=1e-5, atol=1e-6)
    mlp.bridge.c.aot_tensor_free(output)


def test_nan_passes_through(mlp: Model, exported: Callable[..., Path]) -> None:
    x = Sample(exported("mlp")).inputs[0].copy()
    x[0, 0] = np.nan
    (output,) = mlp(x)
    assert np.isnan(output[0]).all()
    assert np.isfinite(output[1:]).all()


# ---- memory -----------------------------------------------------------------------------------------------------


def test_inputs_changed_in_place_are_the_callers(bridge: Bridge, exported: Callable[..., Path]) -> None:
    package = exported("inplace")
    x = np.arange(4, dtype=np.float32)
    with bridge.load(package) as model:
        state = np.ones(4, np.float32)
        model(state, x)
        np.testing.assert_array_equal(state, 1 + x)
        strided = np.ones(8, np.float32)
        model(strided[::2], x)
        np.testing.assert_array_equal(strided, [1, 1, 2, 1, 3, 1, 4, 1])


def test_const_inputs_stay_as_they_are(bridge: Bridge, exported: Callable[..., Path], tmp_path: Path) -> None:
    """The model sees what it writes, the caller does not; also where the package does not say what is written."""
    x = np.arange(4, dtype=np.float32)
    silent = unpack(exported("inplace"), tmp_path / "silent")
    description = silent / "model.json"
    document = json.loads(description.read_text())
    assert [spec.pop("mutated") for spec in document["inputs"]] == [True, False]
    description.write_text(json.dumps(document))
    for path, mutations in ((exported("inplace"), [2, 1]), (silent, [0, 0])):
        with bridge.load(path) as model:
            assert [model.info("input", index).mutation for index in range(2)] == mutations
            memory = np.frombuffer(bytearray(40), np.uint8)
            misaligned = memory[1:17].view(np.float32)
            for state in (np.ones(4, np.float32), np.ones(8, np.float32)[::2], misaligned):
                state[:] = 1
                outputs = model(state, x, const=True)
                np.testing.assert_array_equal(outputs[0], 1 + x)
                np.testing.assert_array_equal(state, 1)
                np.testing.assert_array_equal(x, np.arange(4))
                model(state, x)
                np.testing.assert_array_equal(state, 1 + x)


def test_const_inputs_may_be_read_only(bridge: Bridge, exported: Callable[..., Path], tmp_path: Path) -> None:
    np.save(tmp_path / "state.npy", np.ones(4, np.float32))
    mapped = np.load(tmp_path / "state.npy", mmap_mode="r")  # a write to it would be a signal
    x = np.arange(4, dtype=np.float32)
    with bridge.load(exported("inplace")) as model:
        np.testing.assert_array_equal(model(mapped, x, const=True)[0], 1 + x)


def test_outputs_are_not_the_model_s_own_memory(
    bridge: Bridge, exported: Callable[..., Path], backend_venv: Path
) -> None:
    """A caller may write to an output without changing a weight; a model may change its buffer, and no output."""
    zeros = np.zeros(4, np.float32)
    with bridge.load(exported("inplace")) as model:
        outputs = model.run([view(zeros), view(zeros)])
        data = bridge.c.aot_tensor_view(outputs[2]).contents.data
        c.memset(data, 0xFF, 16)
        np.testing.assert_array_equal(model(zeros, zeros)[2], [0, 1, 2, 3])
        for output in outputs:
            bridge.c.aot_tensor_free(output)

    package = cached_export(backend_venv, HERE.parent / "embedding" / "running_total.py")
    before = package.read_bytes()
    with bridge.load(package) as model:
        kept = model.run([view(np.ones(4, np.float32))])
        for expected in (2, 3):
            np.testing.assert_array_equal(model(np.ones(4, np.float32))[0], [expected] * 4)
        np.testing.assert_array_equal(model.copy(kept[0]), [1] * 4)
        bridge.c.aot_tensor_free(kept[0])
    assert package.read_bytes() == before, "the buffer is the process's own, not the file's"


def test_inputs_that_only_are_read_may_be_read_only(mlp: Model, exported: Callable[..., Path], tmp_path: Path) -> None:
    x = Sample(exported("mlp")).inputs[0]
    np.save(tmp_path / "x.npy", np.asfortranarray(x))
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")  # a write to it would be a signal
    assert not mapped.flags.c_contiguous
    mlp(mapped)


def test_outputs_outlive_inputs_and_model(bridge: Bridge, exported: Callable[..., Path]) -> None:
    state, x = np.zeros(4, np.float32), np.arange(4, dtype=np.float32)
    model = bridge.load(exported("inplace"))
    outputs = model.run([view(state), view(x)])
    address = state.ctypes.data
    same = bridge.c.aot_tensor_view(outputs[0]).contents.data
    assert same != address, "an output that is a view of an input must not dangle"
    state.fill(np.nan)
    model.free()
    np.testing.assert_array_equal(model.copy(outputs[0]), x)
    np.testing.assert_array_equal(model.copy(outputs[2]), [0, 1, 2, 3])  # a view of the model's constant
    for output in outputs:
        bridge.c.aot_tensor_free(output)


def test_weights_are_used_where_they_are_mapped(bridge: Bridge, exported: Callable[..., Path], tmp_path: Path) -> None:
    sample = Sample(exported("mlp"))
    folder = unpack(exported("mlp"), tmp_path / "model")
    blob = folder / "weights.blob"

    def is_mapped() -> bool:
        return str(blob) in Path("/proc/self/maps").read_text()

    with bridge.load(folder) as model:
        assert is_mapped()
        np.testing.assert_allclose(model(sample.inputs[0])[0], sample.outputs[0], rtol=1e-5, atol=1e-6)
    assert not is_mapped()

    document = json.loads((folder / "model.json").read_text())
    described = document["constants"]
    document["constants"] = []
    (folder / "model.json").write_text(json.dumps(document))
    with bridge.load(folder) as model:  # copied
        assert not is_mapped()
        np.testing.assert_allclose(model(sample.inputs[0])[0], sample.outputs[0], rtol=1e-5, atol=1e-6)

    for lie in ({"shape": [2**62]}, {"shape": [256, 64], "offset": 1}, {"shape": [2, 2], "strides": [2**62, 2**62]}):
        document["constants"] = [lie, *described[1:]]
        (folder / "model.json").write_text(json.dumps(document))
        refused(lambda: bridge.load(folder), DAMAGED, "is described larger than it is")

    def load_with(layout: bytes) -> Model:
        """The first weight, 256 x 64, described as one that oneDNN has packed."""
        document["constants"] = [{"shape": [256, 64], "layout": 0}, *described[1:]]
        document["layouts"] = [layout.hex()]
        (folder / "model.json").write_text(json.dumps(document))
        return bridge.load(folder)

    for layout in (
        descriptor((256, 64), (64, 1), (), padded=(2**40, 2**40)),
        descriptor((256, 64), (64, 1), (), padded=(512, 64)),
        descriptor((256, 64), (64, 1), (), padded=(256, 32)),
        descriptor((256, 32), (64, 1), (), padded=(256, 64)),
        descriptor((-256, -64), (64, 1), (), padded=(256, 64)),
        descriptor((256, 64), (65, 1), ()),
        descriptor((256, 64), (2**62, 1), ()),
        descriptor((256, 64), (-64, 1), ()),
        descriptor((256, 64), (4096, 256), ((16, 1), (32, 0))),
        descriptor((256, 64), (512, 512), ((16, 2), (16, 0))),
        descriptor((256, 64), (64, 1), ((0, 0),)),
    ):
        refused(lambda layout=layout: load_with(layout), DAMAGED, "is described larger than it is")  # type: ignore[misc]
    # What cannot be read is not mapped: copied, or refused where the copy would be taken for something else.
    honest = descriptor((256, 64), (64, 1), ())
    other_kind, other_type, compensated, groups = (
        bytearray(honest),
        bytearray(honest),
        bytearray(honest),
        bytearray(honest),
    )
    struct.pack_into("<i", other_kind, 312, 5)
    struct.pack_into("<i", other_type, 104, 2)
    struct.pack_into("<Q", compensated, 616, 1)
    struct.pack_into("<i", groups, 768, 7)
    for layout in (other_kind, other_type, compensated, groups, b"short"):
        document.pop("rearranged", None)
        with load_with(layout) as model:
            np.testing.assert_allclose(model(sample.inputs[0])[0], sample.outputs[0], rtol=1e-5, atol=1e-6)
        document["rearranged"] = True
        refused(lambda layout=layout: load_with(layout), DAMAGED, "another order than its code knows")  # type: ignore[misc]


def test_outputs_leave_by_dlpack(mlp: Model, exported: Callable[..., Path]) -> None:
    sample = Sample(exported("mlp"))
    (output,) = mlp.run([view(sample.inputs[0])])
    managed = c.POINTER(Managed)()
    mlp.bridge.check(mlp.bridge.c.aot_tensor_to_dlpack(output, c.byref(managed)))
    new_capsule = c.pythonapi.PyCapsule_New
    new_capsule.restype, new_capsule.argtypes = c.py_object, [c.c_void_p, c.c_char_p, c.c_void_p]

    class Producer:
        def __dlpack__(self, **_options: object) -> object:
            return new_capsule(managed, b"dltensor", None)

        def __dlpack_device__(self) -> tuple[int, int]:
            return (1, 0)

    array = np.from_dlpack(Producer())  # type: ignore[arg-type]
    mlp.free()
    np.testing.assert_allclose(array, sample.outputs[0], rtol=1e-5, atol=1e-6)


def test_loading_and_freeing_again_and_again(bridge: Bridge, exported: Callable[..., Path]) -> None:
    packages = [exported("mlp"), exported("inplace")]
    samples = [Sample(package) for package in packages]
    for _ in range(10):
        for package, sample in zip(packages, samples, strict=True):
            with bridge.load(package) as model:
                outputs = model(*(array.copy() for array in sample.inputs))
            np.testing.assert_allclose(outputs[0], sample.outputs[0], rtol=1e-5, atol=1e-6)
    names = {str(link.readlink()) for link in Path("/proc/self/fd").iterdir() if link.is_symlink() and link.exists()}
    assert not [name for name in names if name.endswith((".pt2", ".blob"))]


# ---- callers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("runners", [1, 3])
def test_many_threads(bridge: Bridge, exported: Callable[..., Path], runners: int) -> None:
    sample = Sample(exported("mlp"))
    failures: list[BaseException] = []
    with bridge.load(exported("mlp"), num_runners=runners, num_threads=1) as model:

        def work(rows: int) -> None:
            try:
                for _ in range(50):
                    (output,) = model(sample.inputs[0][:rows])
                    np.testing.assert_allclose(output, sample.outputs[0][:rows], rtol=1e-5, atol=1e-6)
                    with pytest.raises(BridgeError):
                        model(sample.inputs[0][:, :3])
            except BaseException as error:  # noqa: BLE001 - handed to the main thread
                failures.append(error)

        threads = [threading.Thread(target=work, args=(1 + index % 4,)) for index in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not failures


def test_an_error_inside_the_model_is_told_and_passes(bridge: Bridge, exported: Callable[..., Path]) -> None:
    sample = Sample(exported("no_shim"))
    with bridge.load(exported("no_shim")) as model:
        singular = np.zeros_like(sample.inputs[0])
        for _ in range(3):
            refused(lambda: model(singular, sample.inputs[1]), 1, "singular")
        outputs = model(*sample.inputs)
    np.testing.assert_allclose(outputs[0], sample.outputs[0], rtol=1e-5, atol=1e-5)


def test_the_thread_count_reaches_openmp(bridge: Bridge, exported: Callable[..., Path]) -> None:
    with bridge.load(exported("mlp"), num_threads=3) as model:
        model(Sample(exported("mlp")).inputs[0])
        openmp = c.CDLL(None)
        seen: list[int] = []

        def work() -> None:
            model(Sample(exported("mlp")).inputs[0])
            seen.append(openmp.omp_get_max_threads())

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert seen == [3]


def test_stats(mlp: Model, exported: Callable[..., Path]) -> None:
    stats = RunStats(struct_size=c.sizeof(RunStats))
    (output,) = mlp.run([view(Sample(exported("mlp")).inputs[0])], stats)
    mlp.bridge.c.aot_tensor_free(output)
    assert 0 < stats.latency_ms < 60_000
    assert stats.peak_rss_bytes > 10_000_000
    assert stats.device_total_bytes == 0


def test_what_a_model_says_of_itself(mlp: Model) -> None:
    info = mlp.info("input", 0)
    assert (info.name, info.ndim, info.dtype.bits) == (b"x", 2, 32)
    assert (info.dims[0].symbol, info.dims[0].min) == (b"batch", 1)
    assert (info.dims[1].symbol, info.dims[1].min, info.dims[1].max) == (None, 64, 64)
    assert json.loads(mlp.bridge.c.aot_model_metadata(mlp.handle))["inputs"][0]["name"] == "x"
    refused(lambda: mlp.info("output", 1), USAGE, "there is no tensor 1")


def test_debug_prints_statistics(library: Path, exported: Callable[..., Path]) -> None:
    program = (
        "import sys, numpy; from pathlib import Path; from tests.support.bundles.bridge_client import Bridge\n"
        "with Bridge(Path(sys.argv[1])).load(Path(sys.argv[2])) as model:\n"
        "    model(numpy.full((2, 64), numpy.nan, numpy.float32))\n"
    )
    command = [sys.executable, "-c", program, str(library), str(exported("mlp"))]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "AOT_DEBUG": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert "aot: input x: float32 [2, 64] on cpu: 128 NaN, 0 inf" in done.stderr
    assert "aot: output output0: float32 [2, 10] on cpu: 20 NaN, 0 inf" in done.stderr
    assert done.stdout == ""


def test_the_floating_point_state_stays_the_callers(bridge: Bridge, exported: Callable[..., Path]) -> None:
    with bridge.load(exported("mlp")) as model:
        model(Sample(exported("mlp")).inputs[0])
    tiny = np.float32(1e-40)
    assert tiny / np.float32(2) > 0, "denormal numbers were switched off"


# ---- bad inputs -------------------------------------------------------------------------------------------------


def test_misfits_of_a_package_with_a_signature(mlp: Model) -> None:
    good = np.zeros((2, 64), np.float32)
    refused(mlp, USAGE, "0 inputs were given; the model takes 1")
    refused(lambda: mlp(good, good), USAGE, "2 inputs were given; the model takes 1")
    refused(lambda: mlp(good.astype(np.float64)), USAGE, 'input "x" has the dtype float64')
    refused(lambda: mlp(good[0]), USAGE, "has 1 dims: [64]")
    refused(lambda: mlp(good[:, :63]), USAGE, "has 63 at dim 1: [2, 63]", "float32[batch (1 to")
    refused(lambda: mlp(good[:0]), USAGE, "has 0 at dim 0")
    refused(lambda: mlp(good[::-1]), USAGE, "stride -64 at dim 0")
    lost = view(good)
    lost.data = None
    refused(lambda: mlp.run([lost]), USAGE, "has no data")
    elsewhere = view(good)
    elsewhere.device = Device(2, 0)
    refused(lambda: mlp.run([elsewhere]), USAGE, "is on cuda:0; the model runs on cpu")
    strange = view(good)
    strange.dtype = Dtype(3, 64, 1)
    refused(lambda: mlp.run([strange]), USAGE, "DLPack type (code 3, bits 64, lanes 1)")


def test_symbols_must_agree(bridge: Bridge, exported: Callable[..., Path]) -> None:
    sample = Sample(exported("multi"))
    with bridge.load(exported("multi")) as model:
        views = [view(array, model.info("input", index).dtype) for index, array in enumerate(sample.inputs)]
        ids, mask = sample.input_names.index("batch.ids"), sample.input_names.index("batch.mask")
        views[ids] = view(np.zeros((3, 5), np.int64))
        refused(lambda: model.run(views), USAGE, '"batch.ids"', '"batch.mask"', "rows")
        views[mask] = view(np.ones((3, 5), np.bool_))
        for output in model.run(views):
            bridge.c.aot_tensor_free(output)


def test_guards_and_state(bridge: Bridge, backend_venv: Path) -> None:
    """Sizes that no range describes are refused; those that are allowed work, and a buffer goes on changing."""
    package = cached_export(backend_venv, HERE / "bridge_models.py", function="sized")
    sample = Sample(package)
    weight = sample.outputs[4][:1]

    def sizes(**changed: tuple[int, ...]) -> list[Array]:
        own = dict(zip(sample.input_names, (array.shape for array in sample.inputs), strict=True))
        return [np.ones(shape, np.float32) for shape in {**own, **changed}.values()]

    with bridge.load(package) as model:
        refused(lambda: model(*sizes(six=(35,))), USAGE, 'dim 0 of "six" is 35', "six.shape[0] is a multiple of 6")
        refused(
            lambda: model(*sizes(product=(13,))),
            USAGE,
            'dim 0 of "product" is 13 and dim 0 of "factors" is 3 and dim 1 of "factors" is 4',
            "product.shape[0] == factors.shape[0] * factors.shape[1]",
        )
        refused(lambda: model(*sizes(double=(8,))), USAGE, 'dim 0 of "more" is 6 and dim 0 of "double" is 8')
        refused(lambda: model(*sizes(double=(9,), more=(5,))), USAGE, "has 9 at dim 0")
        for calls, rows in enumerate((0, 1, 4), start=2):
            given = sizes(six=(30,), product=(10,), factors=(5, 2), double=(8,), more=(5,), rows=(rows, 16))
            outputs = model(*given)
            np.testing.assert_array_equal(outputs[0], np.full((6, 5), 2, np.float32))
            np.testing.assert_array_equal(outputs[1], np.full((5, 2), 2, np.float32))
            np.testing.assert_array_equal(outputs[2], np.full(4, 2, np.float32))
            np.testing.assert_array_equal(outputs[3], np.full(5, calls, np.float32))
            np.testing.assert_allclose(outputs[4], np.repeat(weight, rows, axis=0), rtol=1e-5, atol=1e-6)


def test_buffers_of_the_wrong_size(mlp: Model) -> None:
    (output,) = mlp.run([view(np.zeros((2, 64), np.float32))])
    buffer = np.zeros(100, np.uint8)
    copy = mlp.bridge.c.aot_tensor_copy
    refused(lambda: mlp.bridge.check(copy(output, buffer.ctypes.data, 79)), USAGE, "79 bytes; the tensor has 80")
    refused(lambda: mlp.bridge.check(copy(output, None, 80)), USAGE, "destination is NULL")
    mlp.bridge.c.aot_tensor_free(output)


def test_devices(bridge: Bridge, exported: Callable[..., Path]) -> None:
    report = DeviceReport(struct_size=c.sizeof(DeviceReport))
    bridge.check(bridge.c.aot_device_check(b"cpu", c.byref(report)))
    assert report.num_devices == 1
    assert report.self_test_ms > 0
    refused(lambda: bridge.check(bridge.c.aot_device_check(b"gpu", c.byref(report))), USAGE, '"gpu" is not a device')
    refused(lambda: bridge.check(bridge.c.aot_device_check(b"cuda", c.byref(report))), MODEL_MISMATCH, "CUDA")
    refused(lambda: bridge.load(exported("mlp"), device=b"cuda:0"), MODEL_MISMATCH, "exported for cpu", "cuda:0")
    with bridge.load(exported("mlp"), device=b"cpu") as model:
        assert bridge.c.aot_model_device(model.handle).type == 1


# ---- packages of plain PyTorch ----------------------------------------------------------------------------------


def test_a_package_of_plain_pytorch(bridge: Bridge, plain: Path) -> None:
    with np.load(plain.with_suffix(".npz")) as archive:
        sample = dict(archive)
    x, y = sample["x"], sample["y"]
    with bridge.load(plain) as model:
        assert json.loads(bridge.c.aot_model_metadata(model.handle))["has_signature"] is False
        info = model.info("input", 0)
        assert (info.ndim, info.dtype.bits) == (-1, 0)
        for output, expected in zip(model(x, y), (sample["o0"], sample["o1"], sample["o2"]), strict=True):
            np.testing.assert_allclose(output, expected, rtol=1e-5, atol=1e-6)
        refused(lambda: model(x), USAGE, "1 inputs were given; the model takes 2")
        for bad in (
            x.astype(np.float64),
            x[:, :7],
            x[0],
            np.zeros((), np.float32),
            x[:0],
            np.zeros((101, 8), np.float32),
            np.asfortranarray(x),
            np.zeros((1,) * 20, np.float32),
        ):
            refused(lambda bad=bad: model(bad, y), USAGE, "refuses an input")  # type: ignore[misc]
        model(x, y)


def test_a_plain_package_in_a_bundle_takes_one_row(bridge: Bridge, plain: Path, tmp_path: Path) -> None:
    """torch's own check demands two, whatever was declared; a bundle checks what the code says of its inputs."""
    with np.load(plain.with_suffix(".npz")) as archive:
        sample = dict(archive)
    x, y = sample["x"], sample["y"]
    with bridge.load(unpack(plain, tmp_path / "model")) as model:
        info = model.info("input", 0)
        assert (info.ndim, info.dtype.bits) == (2, 32)
        np.testing.assert_allclose(model(x[:1], y)[0], sample["o0"][:1], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(model(np.asfortranarray(x), y)[0], sample["o0"], rtol=1e-5, atol=1e-6)
        for bad in (x.astype(np.float64), x[:, :7], x[0], x[:0], np.zeros((101, 8), np.float32)):
            refused(lambda bad=bad: model(bad, y), USAGE, "input", "The model takes")  # type: ignore[misc]
        model(x, y)


def test_checks_of_a_plain_package_are_its_own(bridge: Bridge, plain: Path, exported: Callable[..., Path]) -> None:
    """torch's own check of inputs refuses a batch of one, which the signature of another model allows."""
    sample = dict(np.load(plain.with_suffix(".npz")))
    variable = c.CDLL(None).getenv
    variable.restype = c.c_char_p
    with bridge.load(plain) as model, bridge.load(exported("mlp")) as other:
        model(sample["x"], sample["y"])
        assert variable(b"AOTI_RUNTIME_CHECK_INPUTS") is None
        (output,) = other(np.zeros((1, 64), np.float32))
        assert output.shape == (1, 10)


# ---- damaged and foreign packages -------------------------------------------------------------------------------


def test_damaged_folders(bridge: Bridge, exported: Callable[..., Path], tmp_path: Path) -> None:
    package = exported("mlp")
    refused(lambda: bridge.load(tmp_path / "nowhere"), DAMAGED, "there is no model at")

    folder = unpack(package, tmp_path / "no-library")
    (folder / "model.so").unlink()
    refused(lambda: bridge.load(folder), DAMAGED, "model.so cannot be read")

    folder = unpack(package, tmp_path / "half-library")
    content = (folder / "model.so").read_bytes()
    (folder / "model.so").write_bytes(content[: len(content) // 2])
    refused(lambda: bridge.load(folder), DAMAGED, "model.so")

    folder = unpack(package, tmp_path / "half-weights")
    whole = (folder / "weights.blob").stat().st_size
    os.truncate(folder / "weights.blob", 1000)
    refused(lambda: bridge.load(folder), DAMAGED, f"1000 bytes; the model needs {whole}")

    folder = unpack(package, tmp_path / "no-weights")
    (folder / "weights.blob").unlink()
    refused(lambda: bridge.load(folder), DAMAGED, "weights")

    folder = unpack(package, tmp_path / "other-description")
    document = json.loads((folder / "model.json").read_text())
    document["inputs"] *= 2
    (folder / "model.json").write_text(json.dumps(document))
    refused(lambda: bridge.load(folder), DAMAGED, "describes 2 inputs and its code has 1")


def test_damaged_archives(bridge: Bridge, exported: Callable[..., Path], tmp_path: Path) -> None:
    content = exported("mlp").read_bytes()
    bad = tmp_path / "bad.pt2"
    for size in (0, 100, len(content) // 2, len(content) - 1):
        bad.write_bytes(content[:size])
        refused(lambda: bridge.load(bad), DAMAGED, "bad.pt2")
    flipped = bytearray(content)
    flipped[content.index(b"\x7fELF") + 50_000] ^= 1
    bad.write_bytes(flipped)
    refused(lambda: bridge.load(bad), DAMAGED, "other bytes than were written")
    with zipfile.ZipFile(bad, "w") as archive:
        archive.writestr("m/data/aotinductor/model/x.wrapper.cpp", "int main() {}")
    refused(lambda: bridge.load(bad), DAMAGED, "no compiled library")


def test_a_package_for_the_cpu_writes_nothing(
    bridge: Bridge, exported: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever else is in it, such as gigabytes that are said to be code for a GPU."""
    package = Path(shutil.copy(exported("mlp"), tmp_path))
    with zipfile.ZipFile(package, "a") as archive:
        library = next(name for name in archive.namelist() if name.endswith(".so"))
        for name in ("a.cubin", "b.hsaco", "c.fatbin"):
            archive.writestr(f"{library.rpartition('/')[0]}/{name}", bytes(1000))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "nonexistent"))
    bridge.load(package).free()


def test_ops_need_the_proxy(library: Path, exported: Callable[..., Path], tmp_path: Path) -> None:
    shutil.copy(library, tmp_path)
    program = (
        "import sys; from pathlib import Path; from tests.support.bundles.bridge_client import Bridge, BridgeError\n"
        "try: Bridge(Path(sys.argv[1])).load(Path(sys.argv[2]))\n"
        "except BridgeError as error: print(error.status, error.message)\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path / library.name), str(exported("no_shim"))]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"{MODEL_MISMATCH} ")
    assert "aten::_linalg_solve_ex" in done.stdout
    assert "libaot_proxy.so" in done.stdout


def test_the_proxy_needs_no_scratch_folder_in_a_bundle(
    library: Path, exported: Callable[..., Path], tmp_path: Path
) -> None:
    folder = unpack(exported("no_shim"), tmp_path / "model")
    (folder / "extern_kernel_nodes.so").symlink_to(library.with_name("libaot_proxy.so"))
    program = (
        "import sys; from pathlib import Path; from tests.support.bundles.bridge_client import Bridge\n"
        "Bridge(Path(sys.argv[1])).load(Path(sys.argv[2])).free()\n"
    )
    command = [sys.executable, "-c", program, str(library), str(folder)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": "/nonexistent"}
    subprocess.run(command, env=environment, capture_output=True, text=True, check=True)


# ---- the library itself -----------------------------------------------------------------------------------------


def test_only_the_c_api_is_exported(library: Path) -> None:
    from elftools.elf.elffile import ELFFile

    with library.open("rb") as stream:
        symbols = ELFFile(stream).get_section_by_name(".dynsym")
        names = {symbol.name for symbol in symbols.iter_symbols() if symbol["st_shndx"] != "SHN_UNDEF" and symbol.name}
    header = (EXAMPLES.parent / "bridge" / "include" / "aot_bridge.h").read_text()
    exports = (EXAMPLES.parent / "bridge" / "src" / "exports.map").read_text()
    functions = names - set(re.findall(r"^(AOT_\d+) \{", exports, re.MULTILINE))  # the versions that they carry
    assert functions == {name for name in names if name.startswith("aot_")}
    assert all(f" {name}(" in header or f" {name} " in header or f"* {name}(" in header for name in functions)
    assert len(names) >= 18


def test_no_path_of_this_machine_is_inside(backend_venv: Path) -> None:
    for path in build_bridge(find_torch(Backend.CPU, venv=backend_venv), Backend.CPU, proxy=True):
        content = path.read_bytes()
        for place in (Path.home(), EXAMPLES.parent, backend_venv, path.parent):
            assert os.fsencode(place) + b"/" not in content, f"{path.name} names {place}"
