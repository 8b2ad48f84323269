"""aot_bridge.h for ctypes, declaration by declaration."""

from __future__ import annotations

import ctypes
import errno
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

from aotrun.errors import DamagedError, MachineMismatchError, from_status, refused
from aotrun.formats import bundle_files
from aotrun.formats.opening import open_regular

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict

    from aotrun.errors import AotError

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
        ("variant", c_char_p),
        ("prepared", c_char_p),
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
    "aot_model_asset": (c_int32, c_void_p, c_char_p, c_void_p, c_void_p),
    "aot_model_variant": (c_char_p, c_void_p),
    "aot_model_variants": (c_int32, c_char_p, c_void_p, c_void_p),
    "aot_model_prepare": (c_int32, c_void_p, c_char_p, c_void_p),
    "aot_model_prepared": (c_char_p, c_void_p),
    "aot_model_run": (c_int32, c_void_p, c_void_p, c_size_t, c_void_p, c_size_t, c_void_p),
    "aot_session_create": (c_int32, c_void_p, c_void_p),
    "aot_session_copy": (c_int32, c_void_p, c_void_p),
    "aot_session_reset": (c_int32, c_void_p),
    "aot_session_saved_size": (c_size_t, c_void_p),
    "aot_session_save": (c_int32, c_void_p, c_void_p, c_size_t),
    "aot_session_restore": (c_int32, c_void_p, c_void_p, c_size_t),
    "aot_session_free": (None, c_void_p),
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
    try:
        # Also what the loader would only say in a sentence.
        open_regular(path).close()
        library = ctypes.CDLL(bundle_files.library(path))
        for name, (result, *arguments) in _FUNCTIONS.items():
            function = getattr(library, name)
            function.restype = result
            function.argtypes = arguments
    except AttributeError as error:
        raise DamagedError(
            f"{path}: {error}",
            "The library and the runner are of different versions: parts of two bundles are mixed.",
            "Copy the whole bundle again.",
        ) from None
    except OSError as error:
        raise refused(path, error) if error.errno else _unloadable(path, str(error)) from None
    return library


def _unloadable(path: str, message: str) -> AotError:
    """The error for what the loader says, which has no number."""
    if message.endswith("failed to map segment from shared object"):  # glibc gives no reason; there are two
        number = errno.EPERM if os.statvfs(path).f_flag & os.ST_NOEXEC else errno.ENOMEM
        return refused(path, OSError(number, os.strerror(number)))
    for number in (errno.EACCES, errno.EPERM, errno.ENOMEM, errno.EMFILE, errno.ENFILE):
        reason = os.strerror(number)
        if message.endswith(reason):
            return refused(message[: -len(reason)].rstrip(": "), OSError(number, reason))
    if "version `" in message or "wrong ELF class" in message:
        return MachineMismatchError(
            message,
            "The library was built on a newer system than this machine, or for another kind of it.",
            "Start the bundle with bin/aotrun, which brings its own libc, or build it on an older system.",
        )
    return DamagedError(
        message,
        "The loader refuses the library: it is damaged, or one it needs is missing.",
        "Copy the whole bundle again.",
    )


def check(library: Any, status: int) -> None:
    """Raise the error of a failed call; must run on the thread that made it."""
    if status:
        raise from_status(status, library.aot_last_error().decode("utf-8", "replace"))
