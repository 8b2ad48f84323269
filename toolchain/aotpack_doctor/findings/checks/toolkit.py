"""AP3xx: toolkits, drivers and GPUs."""

from __future__ import annotations

from typing import Iterator

from aotpack_doctor.base import versions
from aotpack_doctor.base.gpu_code import runs_cuda, runs_rocm
from aotpack_doctor.facts import FaultKind, HostFacts, Node, Nvidia
from aotpack_doctor.findings.finding import Finding, Kind, Severity
from aotpack_doctor.findings.registry import check

TOOLKIT_MAJOR = Kind(
    "AP301",
    Severity.WARNING,
    "The CUDA toolkit is of another major version than torch's CUDA",
    "Code compiled with it cannot be linked with torch's CUDA libraries; only exports that call nvcc need the toolkit.",
    4,
)
TOOLKIT_MINOR = Kind(
    "AP302",
    Severity.INFO,
    "The CUDA toolkit is newer than torch's CUDA",
    "That works within one major version, but the driver must then serve the newer of both.",
    4,
)
NO_NVIDIA_DRIVER = Kind(
    "AP310",
    Severity.ERROR,
    "No NVIDIA driver",
    "A CUDA bundle can be built and checked without a driver, but not run: the driver never travels in a bundle.",
    7,
)
DRIVER_TOO_OLD = Kind(
    "AP311",
    Severity.ERROR,
    "The NVIDIA driver is too old for this CUDA",
    "CUDA programs run on any driver from the minor-version floor of their CUDA on; this one is below it.",
    7,
)
DRIVER_MINOR = Kind(
    "AP312",
    Severity.INFO,
    "The NVIDIA driver is older than the CUDA release",
    "It runs machine code by minor-version compatibility, but cannot compile this CUDA's PTX for other GPUs.",
    7,
)
GPU_WITHOUT_CODE = Kind(
    "AP313",
    Severity.ERROR,
    "torch has no code for this GPU",
    "CUDA libraries carry code for some GPU architectures; on others every call fails.",
    7,
)
GPU_BY_PTX = Kind(
    "AP314",
    Severity.WARNING,
    "This GPU is served by PTX only",
    "The driver compiles PTX at the first start, which takes minutes, and needs to be as new as the CUDA that made it.",
    7,
)
CONTAINER_WITHOUT_GPUS = Kind(
    "AP315",
    Severity.ERROR,
    "The container was started without its GPUs",
    "The host's kernel has the NVIDIA driver, but no GPU was handed into this container.",
    7,
)
LIBCUDA_STUB = Kind(
    "AP316",
    Severity.ERROR,
    "The stub of libcuda is picked up instead of the driver",
    "The toolkit's stub is for linking only; a program that loads it sees no GPU.",
    7,
)
MIXED_LIBRARY_PATH = Kind(
    "AP317",
    Severity.WARNING,
    "CUDA and ROCm on one library path",
    "Libraries of both worlds export the same names; a program may get half of each.",
    7,
)
NVML_MISMATCH = Kind(
    "AP318",
    Severity.ERROR,
    "The NVIDIA driver's library and kernel module do not match",
    "The driver was updated while its old kernel module stayed loaded; CUDA does not start until both are the same.",
    7,
)
NVIDIA_UNUSABLE = Kind(
    "AP320",
    Severity.ERROR,
    "The NVIDIA GPU cannot be used",
    "The driver is loaded, but the GPU's device nodes are barred, or it does not answer: CUDA reports no device, or an "
    "unknown error.",
    7,
)
HIDDEN_GPUS = Kind(
    "AP321",
    Severity.ERROR,
    "A variable hides all GPUs",
    "CUDA and HIP show a program only the devices on this list, and read it up to the first that is not there.",
    7,
)
CUDA_LIBRARY = Kind(
    "AP319",
    Severity.ERROR,
    "A CUDA library is missing",
    "It belongs to a CUDA of another major version, or to an NVIDIA package that is not installed.",
    3,
)
NO_AMD_DRIVER = Kind(
    "AP330",
    Severity.ERROR,
    "No AMD driver",
    "ROCm needs the kernel's amdgpu driver and /dev/kfd; a bundle can be built without them, but not run.",
    7,
)
AMD_PERMISSION = Kind(
    "AP331",
    Severity.ERROR,
    "This user may not use the AMD GPU",
    "ROCm opens /dev/kfd and /dev/dri/renderD*; without permission it reports that there is no GPU.",
    7,
)
GFX_WITHOUT_CODE = Kind(
    "AP332",
    Severity.ERROR,
    "torch has no code for this AMD GPU",
    "HIP code objects are made for exact targets (gfx90a, gfx1100, ...); on another one the first call fails.",
    7,
)
GFX_OVERRIDE = Kind(
    "AP333",
    Severity.WARNING,
    "HSA_OVERRIDE_GFX_VERSION is in effect",
    "ROCm then takes the GPU for another one; where their instructions differ, kernels crash or compute wrong numbers.",
    7,
)
SYSTEM_ROCM = Kind(
    "AP334",
    Severity.ERROR,
    "A system ROCm would be loaded instead of torch's own",
    "LD_LIBRARY_PATH comes before the RUNPATH of torch's libraries, and two versions of ROCm do not mix.",
    7,
)
NO_ROCM_DATA = Kind(
    "AP335",
    Severity.ERROR,
    "A ROCm library does not have its data",
    "rocBLAS, hipBLASLt, MIOpen and others look for their kernels in folders beside themselves, and abort without.",
    6,
)
LONELY_LINK = Kind(
    "AP336",
    Severity.ERROR,
    "A linked ROCm library has no data beside the link",
    "These libraries search beside the path they were loaded by: beside the link, not beside the file it points to.",
    6,
)
TWO_HIP_RUNTIMES = Kind(
    "AP337",
    Severity.ERROR,
    "Two HIP runtimes",
    "A process that loads both has two sets of devices and streams, and crashes when they meet.",
    6,
)

_NVML_MISMATCH = 18


def _severity(facts: HostFacts) -> Severity:
    """What keeps a GPU from running is no obstacle to a build."""
    return Severity.ERROR if facts.runs_here else Severity.WARNING


def _severity_of_library_path(facts: HostFacts) -> Severity:
    """A bundle's launcher drops LD_LIBRARY_PATH; only programs that embed the bundle meet what is on it."""
    return Severity.WARNING if facts.bundle else Severity.ERROR


@check(TOOLKIT_MAJOR, TOOLKIT_MINOR)
def cuda_toolkit(facts: HostFacts) -> Iterator[Finding]:
    if facts.backend != "cuda" or not facts.toolkit or not facts.toolkit.version or not facts.torch:
        return
    mine, theirs = facts.toolkit.version, facts.torch.toolkit
    if not theirs:
        return
    seen = f"{facts.toolkit.path} is CUDA {mine}, torch {facts.torch.version} was built with {theirs}"
    if versions.major(mine) != versions.major(theirs):
        first = "unset CUDACXX; " if "CUDACXX" in facts.host.environment else ""
        yield TOOLKIT_MAJOR.found(seen, f"{first}export CUDA_HOME=/usr/local/cuda-{'.'.join(theirs.split('.')[:2])}")
    elif versions.older(".".join(theirs.split(".")[:2]), ".".join(mine.split(".")[:2])):
        yield TOOLKIT_MINOR.found(seen)


@check(NO_NVIDIA_DRIVER, CONTAINER_WITHOUT_GPUS, NVML_MISMATCH)
def nvidia_driver(facts: HostFacts) -> Iterator[Finding]:
    nvidia = facts.nvidia
    if facts.backend != "cuda" or nvidia is None:
        return
    if nvidia.nvml_error and nvidia.nvml_error[0] == _NVML_MISMATCH:
        yield NVML_MISMATCH.found(
            f"NVML: {nvidia.nvml_error[1]}; loaded kernel module: {nvidia.module or 'not known'}",
            "sudo reboot",
            severity=_severity(facts),
        )
    elif nvidia.module and not _gpu_nodes(nvidia) and not nvidia.gpus and facts.host.container:
        yield CONTAINER_WITHOUT_GPUS.found(
            f"kernel module {nvidia.module}, no /dev/nvidia0, inside {facts.host.container}",
            "docker run --gpus all ...",
            severity=_severity(facts),
        )
    elif not nvidia.module and not nvidia.driver:
        reason = f"; NVML: {nvidia.nvml_error[1]}" if nvidia.nvml_error else ""
        yield NO_NVIDIA_DRIVER.found(
            f"no nvidia kernel module is loaded{reason}",
            "sudo apt-get install nvidia-driver   # or from https://www.nvidia.com/drivers",
            severity=_severity(facts),
        )


@check(NVIDIA_UNUSABLE)
def nvidia_gpus(facts: HostFacts) -> Iterator[Finding]:
    nvidia = facts.nvidia
    if facts.backend != "cuda" or nvidia is None or not (nvidia.module or nvidia.driver):
        return
    barred = [node.path for node in nvidia.nodes if not node.usable]
    number, said = nvidia.nvml_error or (0, "")
    if barred:
        seen = f"no read and write permission on {', '.join(barred)}"
        fix = ("ls -l /dev/nvidia*", "sudo chmod a+rw " + " ".join(barred))
    elif number not in (0, _NVML_MISMATCH):
        seen = f"NVML: {said} ({number})"
        fix = ("nvidia-smi", "sudo dmesg | grep -i -e nvrm -e xid   # what the driver says of the GPU")
    elif nvidia.driver and not nvidia.gpus and not facts.host.container:
        seen = f"driver {nvidia.driver} finds no GPU"
        fix = ("lspci | grep -i nvidia", "sudo dmesg | grep -i -e nvrm -e xid   # what the driver says of the GPU")
    else:
        return
    yield NVIDIA_UNUSABLE.found(seen, *fix, severity=_severity(facts))


@check(HIDDEN_GPUS)
def hidden_gpus(facts: HostFacts) -> Iterator[Finding]:
    variables = {"cuda": ("CUDA_VISIBLE_DEVICES",), "rocm": ("HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES")}
    count = len(facts.gpus)
    for name in variables.get(facts.backend, ()):
        value = facts.host.environment.get(name)
        first = value.split(",")[0].strip() if value is not None else None
        beyond = first is not None and first.isdigit() and 0 < count <= int(first)
        if first == "" or (first is not None and first.startswith("-")) or beyond:
            yield HIDDEN_GPUS.found(
                f"{name}={value!r}" + (f"; this machine has {count}, numbered from 0" if beyond else ""),
                f"unset {name}",
                severity=_severity(facts),
            )


@check(DRIVER_TOO_OLD, DRIVER_MINOR)
def nvidia_driver_version(facts: HostFacts) -> Iterator[Finding]:
    nvidia, floor = facts.nvidia, facts.driver_floor
    driver = (nvidia.driver or nvidia.module) if nvidia else None
    if facts.backend != "cuda" or driver is None or floor is None:
        return
    cuda = f"CUDA {floor.toolkit}" if floor.toolkit else "this bundle"
    if versions.older(driver, floor.minimum):
        yield DRIVER_TOO_OLD.found(
            f"driver {driver}; {cuda} needs {floor.minimum} or newer",
            f"update the NVIDIA driver to {floor.release or floor.minimum} or newer: https://www.nvidia.com/drivers",
            "aotpack init --backend cuda --torch VERSION   # a torch with an older CUDA",
            severity=_severity(facts),
        )
    elif floor.release and versions.older(driver, floor.release):
        yield DRIVER_MINOR.found(f"driver {driver}; {cuda} was released with {floor.release}")


@check(GPU_WITHOUT_CODE, GPU_BY_PTX)
def nvidia_archs(facts: HostFacts) -> Iterator[Finding]:
    archs = _archs(facts)
    if facts.backend != "cuda" or not facts.nvidia or not archs:
        return
    for gpu in facts.nvidia.gpus:
        if gpu.arch is None:
            continue
        way = runs_cuda(gpu.arch, archs)
        seen = f"{gpu.name or 'GPU'} is {gpu.arch}; there is code for {', '.join(archs)}"
        if way is None:
            yield GPU_WITHOUT_CODE.found(
                seen,
                "aotpack init --backend cuda --torch VERSION   # a torch whose wheel names this GPU",
                severity=_severity(facts),
            )
        elif way == "ptx":
            yield GPU_BY_PTX.found(
                seen, f"aotpack build --backend cuda --arch {gpu.arch} ...   # from a torch that has it"
            )


@check(LIBCUDA_STUB)
def libcuda(facts: HostFacts) -> Iterator[Finding]:
    if facts.backend != "cuda" or not facts.nvidia or not facts.nvidia.libcuda:
        return
    first = facts.nvidia.libcuda[0]
    if "/stubs/" in first:
        yield LIBCUDA_STUB.found(
            f"{first} comes first",
            'export LD_LIBRARY_PATH="$(echo "$LD_LIBRARY_PATH" | tr : "\\n" | grep -v /stubs | paste -sd:)"',
            severity=_severity_of_library_path(facts),
        )


@check(MIXED_LIBRARY_PATH)
def mixed_library_path(facts: HostFacts) -> Iterator[Finding]:
    cuda = [
        each.path for each in facts.host.library_path if any(name.startswith("libcudart.so") for name in each.libraries)
    ]
    hip = [
        each.path
        for each in facts.host.library_path
        if any(name.startswith("libamdhip64.so") for name in each.libraries)
    ]
    if cuda and hip:
        yield MIXED_LIBRARY_PATH.found(
            f"LD_LIBRARY_PATH has {', '.join(cuda)} and {', '.join(hip)}", "unset LD_LIBRARY_PATH"
        )


@check(CUDA_LIBRARY)
def cuda_libraries(facts: HostFacts) -> Iterator[Finding]:
    if facts.bundle is None or facts.bundle.backend != "cuda":
        return
    for fault in facts.bundle.faults_of(FaultKind.UNRESOLVED):
        name = fault.what.split()[1].rstrip(",")  # needs NAME, which ...
        if name.startswith(("libcu", "libnv", "libnccl")):
            yield CUDA_LIBRARY.found(f"{fault.path} {fault.what}", "aotpack build --force ...   # build it again")


@check(NO_AMD_DRIVER, AMD_PERMISSION)
def amd_driver(facts: HostFacts) -> Iterator[Finding]:
    amd = facts.amd
    if facts.backend != "rocm" or amd is None:
        return
    if not amd.module or amd.kfd is None:
        seen = "amdgpu is not loaded" if not amd.module else "amdgpu is loaded, but there is no /dev/kfd"
        fix = "docker run --device=/dev/kfd --device=/dev/dri ..." if facts.host.container else "sudo modprobe amdgpu"
        yield NO_AMD_DRIVER.found(seen, fix, severity=_severity(facts))
        return
    barred = [node.path for node in (amd.kfd, *amd.render) if not node.usable]
    if not amd.kfd.usable or (amd.render and not any(node.usable for node in amd.render)):
        yield AMD_PERMISSION.found(
            f"no read and write permission on {', '.join(barred)}",
            "sudo usermod -aG render,video $USER   # then log in again",
            severity=_severity(facts),
        )


@check(GFX_WITHOUT_CODE)
def amd_archs(facts: HostFacts) -> Iterator[Finding]:
    archs = _archs(facts)
    if facts.backend != "rocm" or not facts.amd or not archs or "HSA_OVERRIDE_GFX_VERSION" in facts.host.environment:
        return
    for gpu in facts.amd.gpus:
        if gpu.arch and runs_rocm(gpu.arch, archs) is False:
            yield GFX_WITHOUT_CODE.found(
                f"{gpu.name or 'GPU'} is {gpu.arch}; there is code for {', '.join(archs)}",
                "aotpack init --backend rocm --torch VERSION   # a torch whose wheel names this GPU",
                severity=_severity(facts),
            )


@check(GFX_OVERRIDE)
def gfx_override(facts: HostFacts) -> Iterator[Finding]:
    value = facts.host.environment.get("HSA_OVERRIDE_GFX_VERSION")
    if facts.backend == "rocm" and value:
        real = ", ".join(gpu.arch for gpu in facts.amd.gpus if gpu.arch) if facts.amd else ""
        yield GFX_OVERRIDE.found(
            f"HSA_OVERRIDE_GFX_VERSION={value}; the GPU is {real or 'not known'}", "unset HSA_OVERRIDE_GFX_VERSION"
        )


@check(SYSTEM_ROCM)
def system_rocm(facts: HostFacts) -> Iterator[Finding]:
    if facts.backend != "rocm":
        return
    tree = facts.bundle.rocm if facts.bundle else facts.torch.rocm if facts.torch else None
    for folder in facts.host.library_path:
        if not any(name.startswith("libamdhip64.so") for name in folder.libraries):
            continue
        if tree is not None and tree.search_kind == "RPATH":
            continue  # an RPATH comes before LD_LIBRARY_PATH: harmless
        yield SYSTEM_ROCM.found(
            f"LD_LIBRARY_PATH has {folder.path} with a HIP runtime of its own",
            "unset LD_LIBRARY_PATH",
            severity=_severity_of_library_path(facts),
        )


@check(NO_ROCM_DATA, LONELY_LINK, TWO_HIP_RUNTIMES)
def rocm_trees(facts: HostFacts) -> Iterator[Finding]:
    trees = (facts.torch.rocm if facts.torch else None, facts.bundle.rocm if facts.bundle else None)
    for tree in trees:
        if tree is None:
            continue
        fix = f"aotpack build --backend {facts.backend} --portable --force ...   # build the bundle again"
        if tree.no_data:
            yield NO_ROCM_DATA.found("; ".join(f"{library} has no {data}" for library, data in tree.no_data), fix)
        if tree.lonely_links:
            yield LONELY_LINK.found(
                "; ".join(f"{library} has no {data} beside it" for library, data in tree.lonely_links), fix
            )
        if tree.hip_runtimes:
            yield TWO_HIP_RUNTIMES.found(", ".join(tree.hip_runtimes), fix)


def _archs(facts: HostFacts) -> tuple[str, ...]:
    """Code in the bundle if there is one, else in torch's libraries; empty when not known."""
    if facts.bundle is not None:
        return facts.bundle.gpu_archs
    return facts.torch.archs or () if facts.torch else ()


def _gpu_nodes(nvidia: Nvidia) -> list[Node]:
    return [node for node in nvidia.nodes if node.path[-1].isdigit()]
