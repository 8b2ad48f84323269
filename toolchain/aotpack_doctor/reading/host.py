"""Reads the machine: /proc, /sys and a few files. Everything below `root`, so that tests can lay out a machine."""

from __future__ import annotations

import ctypes
import os
import re
from typing import Mapping

from aotpack_doctor.base import regular
from aotpack_doctor.facts import Host, LibraryFolder
from aotpack_doctor.reading.toolkits import CUDA, ROCM

#: Variables that change which libraries load or which devices are seen.
VARIABLES = (
    "LD_LIBRARY_PATH",
    "LD_PRELOAD",
    "LIBTORCH",
    "LIBTORCH_CXX11_ABI",
    *CUDA.variables,
    "CUDA_VISIBLE_DEVICES",
    *ROCM.variables,
    "HIP_VISIBLE_DEVICES",
    "ROCR_VISIBLE_DEVICES",
    "HSA_OVERRIDE_GFX_VERSION",
    "VIRTUAL_ENV",
    "CONDA_PREFIX",
)

#: Where distributions keep libc and libstdc++.
LIBRARY_FOLDERS = (
    "lib/x86_64-linux-gnu",
    "lib/aarch64-linux-gnu",
    "usr/lib/x86_64-linux-gnu",
    "usr/lib/aarch64-linux-gnu",
    "lib64",
    "usr/lib64",
    "lib",
    "usr/lib",
)

#: Where containers, WSL and NixOS keep NVIDIA's driver; the bridge looks there too (bridge/src/device/device_gpu.cpp).
DRIVER_FOLDERS = ("usr/local/nvidia/lib64", "usr/local/nvidia/lib", "usr/lib/wsl/lib", "run/opengl-driver/lib")

#: What the kernel calls by another name than compilers and torch do.
_KERNEL_NAMES = {"pni": "sse3", "abm": "lzcnt"}

#: Of Documentation/arch/x86/xstate.rst: asking for the registers of AMX.
_SYS_ARCH_PRCTL, _ARCH_REQ_XCOMP_PERM, _XFEATURE_XTILEDATA = 158, 0x1023, 18


def read_host(
    root: str = "/", environment: Mapping[str, str] = os.environ, cpu_features: frozenset[str] | None = None
) -> Host:
    """The machine.

    Args:
        root: where its file system is.
        environment: variables.
        cpu_features: when known better than from /proc/cpuinfo, which an emulator passes through from its host.
    """
    uname = os.uname()
    libc, libc_version = _libc(root)
    cpuinfo = read_text(os.path.join(root, "proc/cpuinfo"))
    preload = tuple(name for name in re.split(r"[ :]+", environment.get("LD_PRELOAD", "")) if name)
    flags = re.search(r"^flags\s*:\s*(.*)$", cpuinfo, re.MULTILINE)
    model = re.search(r"^model name\s*:\s*(.*)$", cpuinfo, re.MULTILINE)
    if cpu_features is None and flags:
        cpu_features = frozenset(_KERNEL_NAMES.get(flag, flag) for flag in flags[1].split())
    return Host(
        system=_system(root),
        machine=uname.machine,
        kernel=uname.release,
        cpu_model=model[1] if model else None,
        cpu_features=cpu_features,
        tiles_refused=_tiles_refused(uname.machine) if cpu_features and "amx_tile" in cpu_features else None,
        libc=libc,
        libc_version=libc_version,
        libstdcxx=_libstdcxx(root),
        container=_container(root),
        # An empty list of devices is not the same as none.
        environment={
            name: environment[name]
            for name in VARIABLES
            if environment.get(name) or (name in environment and name.endswith("_VISIBLE_DEVICES"))
        },
        library_path=tuple(_library_path(environment.get("LD_LIBRARY_PATH", ""))),
        preload=preload,
        # The loader replaces $LIB and $ORIGIN by what only it knows.
        preload_missing=tuple(name for name in preload if "/" in name and "$" not in name and not os.path.exists(name)),
    )


def _tiles_refused(machine: str) -> str | None:
    """Ask for the registers of AMX, as the bridge does (bridge/src/base/amx.cpp)."""
    if machine != "x86_64":
        return None
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(_SYS_ARCH_PRCTL, _ARCH_REQ_XCOMP_PERM, _XFEATURE_XTILEDATA) == 0:
        return None
    return os.strerror(ctypes.get_errno())


def read_text(path: str) -> str:
    """A small text file; empty when it cannot be read."""
    try:
        return regular.read_text(path, "replace")
    except OSError:
        return ""


def plain_feature(name: str) -> str:
    """A CPU feature's name, spelt the same for kernel, compilers and torch: `avx512_vnni` -> `avx512vnni`."""
    return re.sub(r"[_.-]", "", name.lower())


def find_library(root: str, name: str) -> str | None:
    """A library in the distribution's own folders."""
    for folder in LIBRARY_FOLDERS:
        path = os.path.join(root, folder, name)
        if os.path.exists(path):
            return path
    return None


def listing(path: str) -> list[str]:
    """Names in a folder, sorted; none when it cannot be read."""
    try:
        return sorted(os.listdir(path))
    except OSError:
        return []


def mount_of(path: str, root: str = "/") -> tuple[str, frozenset[str]]:
    """The mount point that holds a path, and its options."""
    real = os.path.realpath(path)
    best, options = "/", frozenset()  # type: tuple[str, frozenset[str]]
    for line in read_text(os.path.join(root, "proc/self/mounts")).splitlines():
        fields = line.split(" ")
        if len(fields) < 4:
            continue
        # Spaces are written as \040.
        point = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), fields[1])
        inside = real == point or real.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):
            best, options = point, frozenset(fields[3].split(","))
    return best, options


def _system(root: str) -> str:
    found = re.search(r'^PRETTY_NAME="?([^"\n]*)', read_text(os.path.join(root, "etc/os-release")), re.MULTILINE)
    return found[1] if found else "Linux"


def _libc(root: str) -> tuple[str | None, str | None]:
    path = find_library(root, "libc.so.6")
    if path:
        found = _search_binary(path, rb"GNU C Library [^\n]*version (\d+\.\d+)")
        return "glibc", found[-1] if found else None
    if any(name.startswith("ld-musl-") for name in listing(os.path.join(root, "lib"))):
        return "musl", None
    return None, None


def _libstdcxx(root: str) -> str | None:
    path = find_library(root, "libstdc++.so.6")
    names = _search_binary(path, rb"GLIBCXX_(\d+(?:\.\d+)+)\0") if path else []
    return max(names, key=lambda name: [int(part) for part in name.split(".")]) if names else None


def _search_binary(path: str, pattern: bytes) -> list[str]:
    try:
        return [found.decode() for found in re.findall(pattern, regular.read_regular(path))]
    except OSError:
        return []


def _container(root: str) -> str | None:
    if os.path.exists(os.path.join(root, ".dockerenv")):
        return "docker"
    if os.path.exists(os.path.join(root, "run/.containerenv")):
        return "podman"
    if read_text(os.path.join(root, "proc/self/mounts")).startswith("overlay / "):
        return "a container"  # Kubernetes and others leave no file behind
    found = re.search(r"docker|containerd|kubepods|lxc|podman", read_text(os.path.join(root, "proc/1/cgroup")))
    return found[0] if found else None


def _library_path(text: str) -> list[LibraryFolder]:
    folders = [folder for folder in text.split(":") if folder]
    return [LibraryFolder(each, tuple(name for name in listing(each) if ".so" in name)) for each in folders]
