"""Reads GPUs and their drivers from the kernel and from NVML. Starts no device."""

from __future__ import annotations

import ctypes
import os
import re
from typing import Any, Callable, Mapping

from aotpack_doctor.facts import Amd, Gpu, Node, Nvidia, Toolkit
from aotpack_doctor.reading.host import DRIVER_FOLDERS, LIBRARY_FOLDERS, listing, read_text
from aotpack_doctor.reading.toolkits import TOOLKITS, folders

#: NVIDIA's management library, which comes with the driver.
NVML = "libnvidia-ml.so.1"


def read_nvidia(root: str = "/", environment: Mapping[str, str] = os.environ, nvml: str = NVML) -> Nvidia:
    """The NVIDIA side. NVML, which only asks the kernel module, tells driver and devices.

    Args:
        root: where the machine's file system is.
        environment: for LD_LIBRARY_PATH.
        nvml: the library, by name or path.
    """
    module = read_text(os.path.join(root, "sys/module/nvidia/version")).strip()
    if not module:
        found = re.search(
            r"Kernel Module\D*?(\d+(?:\.\d+)+)", read_text(os.path.join(root, "proc/driver/nvidia/version"))
        )
        module = found[1] if found else ""
    dev = os.path.join(root, "dev")
    driver, error, gpus = _ask_nvml(nvml, root, environment)
    return Nvidia(
        module=module or None,
        nodes=tuple(
            _node(os.path.join(dev, name)) for name in listing(dev) if re.fullmatch(r"nvidia(\d+|ctl|-uvm)", name)
        ),
        driver=driver,
        nvml_error=error,
        gpus=gpus,
        libcuda=tuple(find_driver_library("libcuda.so.1", root, environment)),
    )


def read_amd(root: str = "/") -> Amd:
    """The AMD side, from sysfs."""
    kfd, dri = os.path.join(root, "dev/kfd"), os.path.join(root, "dev/dri")
    topology = os.path.join(root, "sys/class/kfd/kfd/topology/nodes")
    gpus = []
    for name in listing(topology):
        properties = dict(
            line.split(" ", 1)
            for line in read_text(os.path.join(topology, name, "properties")).splitlines()
            if " " in line
        )
        arch = _gfx(properties.get("gfx_target_version", "0"))
        if arch:
            gpus.append(Gpu(read_text(os.path.join(topology, name, "name")).strip() or None, arch))
    return Amd(
        module=os.path.isdir(os.path.join(root, "sys/module/amdgpu")),
        kfd=_node(kfd) if os.path.exists(kfd) else None,
        render=tuple(_node(os.path.join(dri, name)) for name in listing(dri) if name.startswith("renderD")),
        gpus=tuple(gpus),
    )


#: Backend -> files of its toolkit, and patterns in them that tell its version.
_VERSIONS: dict[str, tuple[tuple[str, str], ...]] = {
    "cuda": (
        ("version.json", r'"cuda"\s*:\s*\{[^}]*"version"\s*:\s*"([\d.]+)"'),
        ("version.txt", r"CUDA Version ([\d.]+)"),
    ),
    "rocm": ((".info/version", r"([\d.]+)"),),
}


def read_toolkit(backend: str, root: str = "/", environment: Mapping[str, str] = os.environ) -> Toolkit | None:
    """The installed CUDA or ROCm toolkit; None when there is none or the backend needs none."""
    if backend not in TOOLKITS:
        return None
    place = next(folders(TOOLKITS[backend], environment, root), None)
    if place is None:
        return None
    found = (re.search(pattern, read_text(os.path.join(place, name))) for name, pattern in _VERSIONS[backend])
    return Toolkit(place, next((match[1] for match in found if match), None))


def _node(path: str) -> Node:
    return Node(path, os.access(path, os.R_OK | os.W_OK, effective_ids=True))


def _gfx(version: str) -> str | None:
    """The kernel's `gfx_target_version` as a name: 90010 -> gfx90a, 110000 -> gfx1100; 0 is a CPU."""
    number = int(version) if version.isdigit() else 0
    return f"gfx{number // 10000}{number // 100 % 100:x}{number % 100:x}" if number else None


def find_driver_library(name: str, root: str = "/", environment: Mapping[str, str] = os.environ) -> list[str]:
    """The files of this name that a program would meet, the loader's order first."""
    folders = [folder for folder in environment.get("LD_LIBRARY_PATH", "").split(":") if folder]
    folders += [os.path.join(root, folder) for folder in (*LIBRARY_FOLDERS, *DRIVER_FOLDERS)]
    found: dict[str, str] = {}
    for folder in folders:
        path = os.path.join(folder, name)
        if os.path.exists(path):
            found.setdefault(os.path.realpath(path), path)
    return list(found.values())


def _load(name: str, root: str, environment: Mapping[str, str]) -> ctypes.CDLL:
    """A library of the driver, by name as the loader finds it, else from where drivers are known to be."""
    try:
        return ctypes.CDLL(name)
    except OSError:
        for path in find_driver_library(name, root, environment):
            return ctypes.CDLL(path)
        raise


def _ask_nvml(
    name: str, root: str, environment: Mapping[str, str]
) -> tuple[str | None, tuple[int, str] | None, tuple[Gpu, ...]]:
    """Driver version, error and devices. Error 0: there is no NVML."""
    try:
        library = _load(name, root, environment)
        library.nvmlErrorString.restype = ctypes.c_char_p
        status = library.nvmlInit_v2()
    except (OSError, AttributeError) as error:  # no such file, or one without NVML's functions
        return None, (0, str(error)), ()
    if status:
        said = library.nvmlErrorString(status)
        return None, (status, said.decode(errors="replace") if said else f"error {status}"), ()
    try:
        driver = _nvml_text(library.nvmlSystemGetDriverVersion)
        count = ctypes.c_uint()
        library.nvmlDeviceGetCount_v2(ctypes.byref(count))
        return driver, None, tuple(_nvml_device(library, index) for index in range(count.value))
    finally:
        library.nvmlShutdown()


class _Memory(ctypes.Structure):
    _fields_ = (("total", ctypes.c_ulonglong), ("free", ctypes.c_ulonglong), ("used", ctypes.c_ulonglong))


def _nvml_text(ask: Callable[..., int], *subject: Any) -> str | None:
    """A text that NVML writes into a buffer; its longest, a device's name, has 96 bytes."""
    text = ctypes.create_string_buffer(96)
    done = ask(*subject, text, ctypes.c_uint(len(text))) == 0
    return text.value.decode(errors="replace") or None if done else None


def _nvml_device(library: ctypes.CDLL, index: int) -> Gpu:
    device = ctypes.c_void_p()
    if library.nvmlDeviceGetHandleByIndex_v2(ctypes.c_uint(index), ctypes.byref(device)):
        return Gpu(None, None)
    name = _nvml_text(library.nvmlDeviceGetName, device)
    major, minor, memory = ctypes.c_int(), ctypes.c_int(), _Memory()
    known = library.nvmlDeviceGetCudaComputeCapability(device, ctypes.byref(major), ctypes.byref(minor)) == 0
    # Of a GPU that is split (MIG) a program gets a part, whose memory is not the whole one's.
    mode, pending = ctypes.c_uint(), ctypes.c_uint()
    get_mode = getattr(library, "nvmlDeviceGetMigMode", None)  # since driver 450
    split = get_mode is not None and get_mode(device, ctypes.byref(mode), ctypes.byref(pending)) == 0 and mode.value
    has_memory = not split and library.nvmlDeviceGetMemoryInfo(device, ctypes.byref(memory)) == 0
    return Gpu(name, f"sm_{major.value}{minor.value}" if known else None, memory.total if has_memory else None)
