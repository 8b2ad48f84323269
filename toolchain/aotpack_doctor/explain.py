"""From a message that somebody met to the finding that explains it."""

from __future__ import annotations

import re
from typing import NamedTuple

from aotpack_doctor.checks import bundle, host, model, target, toolkit, torch
from aotpack_doctor.finding import Finding, Kind, worst_first


class _Pattern(NamedTuple):
    """A message: what it looks like, the kind it belongs to, what to do. `{0}`, `{1}` in a fix are the groups."""

    expression: str
    kind: Kind
    fix: tuple[str, ...]


_BUNDLED_LIBC = "aotpack build --portable --libc bundled ...   # brings libc and libstdc++ along"

#: The first pattern that matches a line wins, so the particular come before the general.
_PATTERNS = (
    _Pattern(
        r"hipErrorNoBinaryForGpu|HIP error: no kernel image|(?<!CUDA error: )invalid device function|"
        r"Unable to find code object for all current devices",
        toolkit.GFX_WITHOUT_CODE,
        ("rocminfo | grep gfx   # which GPU this is", "aotpack build --backend rocm --arch GFX ...   # with its code"),
    ),
    _Pattern(
        r"no kernel image is available for execution on the device|cudaErrorNoKernelImageForDevice|"
        r"CUDA error: invalid device function|"
        r"is not compatible with the current PyTorch installation",
        toolkit.GPU_WITHOUT_CODE,
        ("nvidia-smi --query-gpu=name,compute_cap --format=csv", "aotpack init --backend cuda --torch VERSION"),
    ),
    _Pattern(
        r"CUDA driver version is insufficient|cudaErrorInsufficientDriver|"
        r"The NVIDIA driver on your system is too old",
        toolkit.DRIVER_TOO_OLD,
        (
            "update the NVIDIA driver: https://www.nvidia.com/drivers",
            "aotpack init --backend cuda --torch VERSION   # a torch with an older CUDA",
        ),
    ),
    _Pattern(
        r"Driver/library version mismatch|CUDA_ERROR_SYSTEM_DRIVER_MISMATCH|Error 803",
        toolkit.NVML_MISMATCH,
        ("sudo reboot",),
    ),
    _Pattern(
        r"Found no NVIDIA driver|libcuda\.so(?:\.1)?: cannot open shared object file|cudaErrorNoDevice|"
        r"no CUDA-capable device is detected",
        toolkit.NO_NVIDIA_DRIVER,
        ("nvidia-smi   # does the driver see a GPU?", "docker run --gpus all ...   # inside a container"),
    ),
    _Pattern(
        r"could not select device driver.*gpu|nvidia-container-cli: initialization error",
        toolkit.CONTAINER_WITHOUT_GPUS,
        ("install the NVIDIA Container Toolkit, then: docker run --gpus all ...",),
    ),
    _Pattern(
        r"stubs/libcuda|CUDA driver is a stub library|cudaErrorStubLibrary",
        toolkit.LIBCUDA_STUB,
        ("unset LD_LIBRARY_PATH",),
    ),
    _Pattern(
        r"undefined symbol: (\S*(?:nvJitLink|cudnn|cublas|cusparse|nccl)\S*)",
        torch.PACKAGE_VERSION,
        ("aotpack doctor --backend cuda   # names the package and the version",),
    ),
    _Pattern(
        r"(lib(?:cu|nv|nccl)[\w-]*\.so[.\d]*): cannot open shared object file",
        toolkit.CUDA_LIBRARY,
        ("aotpack doctor --backend cuda   # names the package that has {0}", "aotpack init --backend cuda"),
    ),
    _Pattern(
        r"(?i)cannot read [^\n]*TensileLibrary|TensileLibrary[^\n]*(?:No such file|not found)|"
        r"hipblaslt[^\n]*(?:Could not|cannot) (?:load|read|open)|MIOpen[^\n]*(?:system|perf)[- ]?db[^\n]*not found",
        toolkit.NO_ROCM_DATA,
        ("aotpack doctor --backend rocm --bundle BUNDLE", "aotpack build --backend rocm --portable --force ..."),
    ),
    _Pattern(
        r"Unable to open /dev/kfd|/dev/kfd[^\n]*Permission denied|Permission denied[^\n]*/dev/(?:kfd|dri)|"
        r"hsa_init Failed[^\n]*HSA_STATUS_ERROR_OUT_OF_RESOURCES",
        toolkit.AMD_PERMISSION,
        ("sudo usermod -aG render,video $USER   # then log in again",),
    ),
    _Pattern(
        r"ROCk module is NOT loaded|hipErrorNoDevice|No HIP GPUs are available|no ROCm-capable device is detected",
        toolkit.NO_AMD_DRIVER,
        ("sudo modprobe amdgpu", "docker run --device=/dev/kfd --device=/dev/dri ...   # inside a container"),
    ),
    _Pattern(
        r"version `?GLIBCXX_([\d.]+)'? not found",
        target.GLIBCXX,
        (_BUNDLED_LIBC, "strings -a libstdc++.so.6 | grep GLIBCXX   # what a library offers; GLIBCXX_{0} is asked for"),
    ),
    _Pattern(
        r"version `?GLIBC_([\d.]+)'? not found",
        target.GLIBC,
        (_BUNDLED_LIBC, "export and build on a system with an older glibc than {0}"),
    ),
    _Pattern(
        r"(?i)illegal instruction|SIGILL",
        target.CPU,
        ("aotpack export --cpu-isa avx2 ...   # for older CPUs", "grep -m1 flags /proc/cpuinfo   # what this CPU has"),
    ),
    _Pattern(r"cannot enable executable stack", bundle.STACK, ("patchelf --clear-execstack LIBRARY",)),
    _Pattern(
        r"failed to map segment from shared object(?!: Cannot allocate)",
        target.NOEXEC,
        ("findmnt -T BUNDLE   # look for noexec", "copy the bundle to another file system"),
    ),
    _Pattern(
        r"file too short|invalid ELF header|ELF load command [^\n]* past end",
        bundle.CHANGED,
        ("aotpack verify BUNDLE", "copy the bundle again: rsync -a --checksum SOURCE/ DESTINATION/"),
    ),
    _Pattern(
        r"wrong ELF class|Exec format error|cannot execute binary file",
        target.MACHINE,
        ("uname -m   # what this machine is", "export and build on that type of machine"),
    ),
    _Pattern(
        r"object '([^']+)' from LD_PRELOAD cannot be preloaded",
        target.INTERFERING,
        ("unset LD_PRELOAD   # it names {0}",),
    ),
    _Pattern(
        r"Could not find schema for (\S+)|No such operator (\S+)|operator (\S+::\S+) does not exist",
        model.CUSTOM_OPS,
        ("load the library that registers the operator before the model",),
    ),
    _Pattern(
        r"undefined symbol: (\S+)",
        model.MISSING_SYMBOL,
        (
            "aotpack doctor --model MODEL.pt2 --bundle BUNDLE   # who should have {0}",
            "aotpack build --runtime full ...   # when the slim runtime lacks it",
            "export the model again with the torch of the bundle",
        ),
    ),
    _Pattern(
        r"(lib[\w+.-]+\.so[.\d]*): cannot open shared object file",
        bundle.UNRESOLVED,
        ("aotpack verify BUNDLE   # who needs {0}", "aotpack build --portable --force ..."),
    ),
    _Pattern(
        r"(?i)no space left on device|disk quota exceeded",
        host.LITTLE_SPACE,
        ("df -h", "aotpack build --output /another/disk/NAME ..."),
    ),
    _Pattern(r"(?i)No module named '?torch\b", torch.NONE, ("aotpack init --backend cpu   # or cuda, rocm",)),
)


def explain(text: str) -> list[Finding]:
    """The findings that a pasted text speaks of, each kind once, worst first; none when nothing in it is known."""
    found: dict[str, Finding] = {}
    for line in text.splitlines():
        for pattern in _PATTERNS:
            match = re.search(pattern.expression, line)
            if match:
                groups = [group for group in match.groups() if group] or [match[0]]
                fix = (step.replace("{0}", groups[0]) for step in pattern.fix)
                found.setdefault(pattern.kind.code, pattern.kind.found(line.strip(), *fix))
                break
    return worst_first(list(found.values()))


def explainable() -> frozenset[str]:
    """Codes that a message leads to."""
    return frozenset(pattern.kind.code for pattern in _PATTERNS)
