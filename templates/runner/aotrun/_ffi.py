"""aot_bridge.h for ctypes, declaration by declaration."""

from __future__ import annotations

import ctypes
import os
from ctypes import (
    POINTER,
    Structure,
    c_char,
    c_char_p,
    c_double,
    c_int32,
    c_int64,
    c_size_t,
    c_uint8,
    c_uint16,
    c_uint32,
    c_uint64,
    c_void_p,
)

from aotrun.errors import DamagedError, MachineMismatchError, from_status

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict

LIBRARY = "libaot_bridge.so"

#: DLDeviceType
CPU, CUDA, ROCM = 1, 2, 10
#: aot_tensor_info.mutation
NOT_MUTATED, MUTATED = 1, 2
DEVICE_NAMES = {CPU: "cpu", CUDA: "cuda", ROCM: "rocm"}


class Device(Structure):
    _fields_ = [("type", c_int32), ("index", c_int32)]


class DataType(Structure):
    _fields_ = [("code", c_uint8), ("bits", c_uint8), ("lanes", c_uint16)]


class View(Structure):
    """DLPack's DLTensor."""

    _fields_ = [
        ("data", c_void_p),
        ("device", Device),
        ("ndim", c_int32),
        ("dtype", DataType),
        ("shape", POINTER(c_int64)),
        ("strides", POINTER(c_int64)),
        ("byte_offset", c_uint64),
    ]


class Managed(Structure):
    """DLPack's DLManagedTensor."""

    _fields_ = [("tensor", View), ("manager_ctx", c_void_p), ("deleter", c_void_p)]


class Sized(Structure):
    """A struct that may grow: it tells the library how much of it this side knows."""

    def __init__(self, **values: Any) -> None:
        super().__init__(struct_size=ctypes.sizeof(self), **values)


class LoadOptions(Sized):
    _fields_ = [
        ("struct_size", c_uint32),
        ("num_runners", c_uint32),
        ("device", c_char_p),
        ("num_threads", c_uint32),
        ("reserved", c_uint32),
    ]


class Dim(Structure):
    _fields_ = [("min", c_int64), ("max", c_int64), ("symbol", c_char_p)]


class TensorInfo(Sized):
    _fields_ = [
        ("struct_size", c_uint32),
        ("ndim", c_int32),
        ("name", c_char_p),
        ("dtype", DataType),
        ("reserved", c_uint32),
        ("dims", POINTER(Dim)),
        ("mutation", c_int32),
        ("reserved_2", c_uint32),
    ]


class RunStats(Sized):
    _fields_ = [
        ("struct_size", c_uint32),
        ("reserved", c_uint32),
        ("latency_ms", c_double),
        ("device_used_bytes", c_uint64),
        ("device_total_bytes", c_uint64),
        ("peak_rss_bytes", c_uint64),
    ]


class DeviceReport(Sized):
    _fields_ = [
        ("struct_size", c_uint32),
        ("num_devices", c_uint32),
        ("used_bytes", c_uint64),
        ("total_bytes", c_uint64),
        ("name", c_char * 128),
        ("architecture", c_char * 64),
        ("self_test_ms", c_double),
    ]


_FUNCTIONS = {
    "aot_last_error": (c_char_p,),
    "aot_api_version": (c_uint32,),
    "aot_tensor_view": (c_void_p, c_void_p),
    "aot_tensor_copy": (c_int32, c_void_p, c_void_p, c_size_t),
    "aot_tensor_free": (None, c_void_p),
    "aot_model_load": (c_int32, c_char_p, c_void_p, c_void_p),
    "aot_model_free": (None, c_void_p),
    "aot_model_num_inputs": (c_size_t, c_void_p),
    "aot_model_num_outputs": (c_size_t, c_void_p),
    "aot_model_input_info": (c_int32, c_void_p, c_size_t, c_void_p),
    "aot_model_output_info": (c_int32, c_void_p, c_size_t, c_void_p),
    "aot_model_metadata": (c_char_p, c_void_p),
    "aot_model_run": (c_int32, c_void_p, c_void_p, c_size_t, c_void_p, c_size_t, c_void_p),
    "aot_device_check": (c_int32, c_char_p, c_void_p),
    "aot_build_info": (c_char_p,),
}

_libraries: Dict[str, Any] = {}


def bridge(folder: str) -> Any:
    """The bridge library of a lib folder, loaded once a process. Raises DamagedError, MachineMismatchError."""
    path = os.path.join(os.path.abspath(folder), LIBRARY)
    library = _libraries.get(path)
    if library is None:
        library = _libraries[path] = _load(path)
    return library


def _load(path: str) -> Any:
    if not os.path.isfile(path):
        raise DamagedError(
            f"{path}: no such file",
            "A bundle keeps the library that runs its models there.",
            "Copy the whole bundle again, or name its folder.",
        )
    try:
        library = ctypes.CDLL(path)
        for name, (result, *arguments) in _FUNCTIONS.items():
            function = getattr(library, name)
            function.restype = result
            function.argtypes = arguments
    except (OSError, AttributeError) as error:
        raise MachineMismatchError(
            str(error),
            "The bundle's library cannot be loaded here: its libc is newer than this machine's, or files are missing.",
            "Start the bundle with bin/aotrun, which brings its own libc, or build it on an older system.",
        ) from None
    return library


def check(library: Any, status: int) -> None:
    """Raise the error of a failed call; must run on the thread that made it."""
    if status:
        raise from_status(status, library.aot_last_error().decode("utf-8", "replace"))
