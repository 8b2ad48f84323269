"""The C API by ctypes and NumPy: what a test calls, in a process without torch."""

from __future__ import annotations

import ctypes as c
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from aotpack.package.model import read_model

Array = NDArray[Any]

CPU = 1
INT, UINT, FLOAT, BFLOAT, COMPLEX, BOOL = 0, 1, 2, 4, 5, 6
_KINDS = {"i": INT, "u": UINT, "f": FLOAT, "c": COMPLEX, "b": BOOL}


class Device(c.Structure):
    _fields_ = (("type", c.c_int32), ("index", c.c_int32))


class Dtype(c.Structure):
    _fields_ = (("code", c.c_uint8), ("bits", c.c_uint8), ("lanes", c.c_uint16))


class View(c.Structure):
    _fields_ = (
        ("data", c.c_void_p),
        ("device", Device),
        ("ndim", c.c_int32),
        ("dtype", Dtype),
        ("shape", c.POINTER(c.c_int64)),
        ("strides", c.POINTER(c.c_int64)),
        ("byte_offset", c.c_uint64),
    )


class Managed(c.Structure):
    pass


DELETER = c.CFUNCTYPE(None, c.POINTER(Managed))
Managed._fields_ = (("tensor", View), ("manager_ctx", c.c_void_p), ("deleter", DELETER))


class LoadOptions(c.Structure):
    _fields_ = (
        ("struct_size", c.c_uint32),
        ("num_runners", c.c_uint32),
        ("device", c.c_char_p),
        ("num_threads", c.c_uint32),
        ("reserved", c.c_uint32),
        ("variant", c.c_char_p),
    )


class Dim(c.Structure):
    _fields_ = (("min", c.c_int64), ("max", c.c_int64), ("symbol", c.c_char_p))


class TensorInfo(c.Structure):
    _fields_ = (
        ("struct_size", c.c_uint32),
        ("ndim", c.c_int32),
        ("name", c.c_char_p),
        ("dtype", Dtype),
        ("reserved", c.c_uint32),
        ("dims", c.POINTER(Dim)),
        ("mutation", c.c_int32),
        ("reserved_2", c.c_uint32),
    )


class RunStats(c.Structure):
    _fields_ = (
        ("struct_size", c.c_uint32),
        ("reserved", c.c_uint32),
        ("latency_ms", c.c_double),
        ("device_used_bytes", c.c_uint64),
        ("device_total_bytes", c.c_uint64),
        ("peak_rss_bytes", c.c_uint64),
    )


class DeviceReport(c.Structure):
    _fields_ = (
        ("struct_size", c.c_uint32),
        ("num_devices", c.c_uint32),
        ("used_bytes", c.c_uint64),
        ("total_bytes", c.c_uint64),
        ("name", c.c_char * 128),
        ("architecture", c.c_char * 64),
        ("self_test_ms", c.c_double),
    )


class BridgeError(Exception):
    """A status other than AOT_OK with its message."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class Bridge:
    """The loaded library."""

    def __init__(self, path: Path) -> None:
        self.c = c.CDLL(str(path))
        self.c.aot_last_error.restype = c.c_char_p
        self.c.aot_build_info.restype = c.c_char_p
        self.c.aot_api_version.restype = c.c_uint32
        self.c.aot_tensor_view.restype = c.POINTER(View)
        self.c.aot_tensor_view.argtypes = [c.c_void_p]
        self.c.aot_tensor_free.argtypes = [c.c_void_p]
        self.c.aot_tensor_copy.argtypes = [c.c_void_p, c.c_void_p, c.c_size_t]
        self.c.aot_tensor_to_dlpack.argtypes = [c.c_void_p, c.POINTER(c.POINTER(Managed))]
        self.c.aot_model_free.argtypes = [c.c_void_p]
        self.c.aot_model_device.restype = Device
        self.c.aot_model_metadata.restype = c.c_char_p
        for name in ("aot_model_num_inputs", "aot_model_num_outputs"):
            getattr(self.c, name).restype = c.c_size_t
        for name in (
            "aot_model_num_inputs",
            "aot_model_num_outputs",
            "aot_model_metadata",
            "aot_model_device",
        ):
            getattr(self.c, name).argtypes = [c.c_void_p]
        for name in ("aot_model_input_info", "aot_model_output_info"):
            getattr(self.c, name).argtypes = [c.c_void_p, c.c_size_t, c.POINTER(TensorInfo)]
        for name in ("aot_model_run", "aot_model_run_const"):
            getattr(self.c, name).argtypes = [
                c.c_void_p,
                c.POINTER(View),
                c.c_size_t,
                c.POINTER(c.c_void_p),
                c.c_size_t,
                c.POINTER(RunStats),
            ]

    def check(self, status: int) -> None:
        """Raise BridgeError unless the status is AOT_OK."""
        if status != 0:
            raise BridgeError(status, self.c.aot_last_error().decode())

    def load(self, path: Path, **options: Any) -> Model:
        """Load a model folder or a package; keywords are fields of aot_load_options."""
        handle = c.c_void_p()
        filled = LoadOptions(struct_size=c.sizeof(LoadOptions), **options)
        self.check(self.c.aot_model_load(str(path).encode(), c.byref(filled), c.byref(handle)))
        return Model(self, handle)


class Model:
    """A loaded model."""

    def __init__(self, bridge: Bridge, handle: c.c_void_p) -> None:
        self.bridge = bridge
        self.handle = handle

    def __enter__(self) -> Model:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.free()

    def free(self) -> None:
        """Free the model; allowed twice."""
        self.bridge.c.aot_model_free(self.handle)
        self.handle = c.c_void_p()

    def __call__(self, *arrays: Array, const: bool = False) -> list[Array]:
        """Run, on const inputs if asked, and copy the outputs."""
        outputs = self.run([view(array) for array in arrays], const=const)
        try:
            return [self.copy(output) for output in outputs]
        finally:
            for output in outputs:
                self.bridge.c.aot_tensor_free(output)

    def run(self, views: Sequence[View], stats: RunStats | None = None, *, const: bool = False) -> list[c.c_void_p]:
        """Run, on const inputs if asked; returns owned aot_tensor pointers."""
        function = self.bridge.c.aot_model_run_const if const else self.bridge.c.aot_model_run
        count = self.bridge.c.aot_model_num_outputs(self.handle)
        outputs = (c.c_void_p * max(count, 1))()
        inputs = (View * max(len(views), 1))(*views)
        self.bridge.check(
            function(self.handle, inputs, len(views), outputs, count, None if stats is None else c.byref(stats))
        )
        return [c.c_void_p(output) for output in outputs[:count]]

    def copy(self, tensor: c.c_void_p) -> Array:
        """An output as an array of its own; bfloat16 as uint16."""
        seen = self.bridge.c.aot_tensor_view(tensor).contents
        array: Array = np.empty(tuple(seen.shape[: seen.ndim]), numpy_dtype(seen.dtype))
        self.bridge.check(self.bridge.c.aot_tensor_copy(tensor, array.ctypes.data, array.nbytes))
        return array

    def info(self, kind: str, index: int) -> TensorInfo:
        """aot_model_input_info or aot_model_output_info."""
        info = TensorInfo(struct_size=c.sizeof(TensorInfo))
        self.bridge.check(getattr(self.bridge.c, f"aot_model_{kind}_info")(self.handle, index, c.byref(info)))
        return info


def unpack(package: Path, folder: Path) -> Path:
    """A model folder as a bundle has it."""
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(package) as archive:
        names = archive.namelist()
        library = next(name for name in names if name.endswith(".so"))
        stem = library.removesuffix(".so")
        (folder / "model.so").write_bytes(archive.read(library))
        document = json.loads(archive.read(f"{stem}_metadata.json")).get("aotpack")
        if document is None:  # of plain PyTorch
            document = msgspec.json.encode(read_model(package).metadata).decode()
        (folder / "model.json").write_text(document)
        for entry, name in ((f"{stem}_weights.blob", "weights.blob"), (f"{stem}.json", "extern_kernel_nodes.json")):
            if entry in names:
                (folder / name).write_bytes(archive.read(entry))
    return folder


def numpy_dtype(dtype: Dtype) -> np.dtype[Any]:
    """NumPy's name of a DLPack type; bfloat16, which NumPy lacks, as uint16."""
    letters = {code: letter for letter, code in _KINDS.items()} | {BFLOAT: "u"}
    letter = letters[dtype.code]
    return np.dtype("?" if letter == "b" else f"{letter}{dtype.bits // 8}")


def view(array: Array, dtype: Dtype | None = None) -> View:
    """Borrow an array; the view keeps it alive."""
    if dtype is None:
        dtype = Dtype(_KINDS[array.dtype.kind], array.dtype.itemsize * 8, 1)
    itemsize = max(array.dtype.itemsize, 1)
    shape = (c.c_int64 * array.ndim)(*array.shape)
    strides = (c.c_int64 * array.ndim)(*(step // itemsize for step in array.strides))
    result = View(array.ctypes.data, Device(CPU, 0), array.ndim, dtype, shape, strides, 0)
    result.keep = (array, shape, strides)  # type: ignore[attr-defined]
    return result
