"""Headers and libraries of GPU toolkits for tests: those of this machine, else fetched; never a reason to fail."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

from aotpack_doctor.reading.toolkits import CUDA, ROCM, folders

ROOT = Path(__file__).resolve().parents[3]
CACHE = ROOT / ".cache" / "tests"
BRIDGE = ROOT / "bridge"
#: The CUDA runtime's headers, 8 MB.
CUDA_WHEELS = ("nvidia-cuda-runtime==13.0.96", "nvidia-cuda-crt==13.0.88")
HIP_PACKAGE = "libamdhip64-dev"


def compare_declarations(ours: Path, toolkit: Path, backend: str) -> subprocess.CompletedProcess[str]:
    """Compile the bridge's declarations of a GPU runtime (`device/gpu_abi.h` in `ours`) beside a toolkit's headers: it
    fails where they differ. Nothing is linked or run."""
    # A system's own include folder must not be named.
    include = () if toolkit == Path("/usr") else ("-isystem", str(toolkit / "include"))
    flags = ("-DAOT_GPU_ROCM", "-D__HIP_PLATFORM_AMD__=1") if backend == "rocm" else ()
    command = ["c++", "-std=c++17", "-fsyntax-only", "-Wall", "-Wextra", "-Werror", f"-I{ours}", *include, *flags]
    test = BRIDGE / "tests" / "gpu_abi_test.cpp"
    return subprocess.run([*command, str(test)], capture_output=True, text=True, check=False)


def cuda_home() -> Path | None:
    """A folder for `CUDA_HOME` whose `include` has the runtime's headers; None when there is none to be had."""
    wheels = CACHE / "cuda-headers"
    for folder in (*map(Path, folders(CUDA, os.environ)), wheels / "nvidia" / "cu13"):
        if (folder / "include" / "cuda_runtime_api.h").is_file() and (folder / "include" / "crt").is_dir():
            return folder
    wheels.parent.mkdir(parents=True, exist_ok=True)
    with (wheels.parent / "cuda-headers.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not wheels.is_dir():
            scratch = wheels.with_suffix(".new")
            shutil.rmtree(scratch, ignore_errors=True)
            command = [
                sys.executable,
                "-m",
                "pip",
                "install",
                "--quiet",
                "--no-deps",
                "--target",
                scratch,
                *CUDA_WHEELS,
            ]
            if subprocess.run(command, check=False, capture_output=True).returncode:
                return None
            scratch.rename(wheels)
    return wheels / "nvidia" / "cu13"


def rocm_path() -> Path | None:
    """A folder for `ROCM_PATH` with real HIP headers and libamdhip64: ROCm's, Debian's, or Debian's fetched as root."""
    for folder in (*map(Path, folders(ROCM, os.environ)), Path("/usr")):
        if (folder / "include" / "hip" / "hip_runtime_api.h").is_file():
            return folder
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        return None
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "-qq", "-y", "--no-install-recommends", HIP_PACKAGE]
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "apt-get.lock").open("w") as lock:  # apt-get fails where another one runs
        fcntl.flock(lock, fcntl.LOCK_EX)
        for command in (install, ["apt-get", "update", "-qq"], install):
            done = subprocess.run(command, check=False, capture_output=True, env=environment)
            if command is install and done.returncode == 0:
                return Path("/usr")
    return None
