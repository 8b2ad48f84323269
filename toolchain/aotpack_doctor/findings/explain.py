"""From a message that somebody met to the finding that explains it."""

from __future__ import annotations

import re
from typing import NamedTuple

from aotpack_doctor.findings.catalog import OWN, kinds
from aotpack_doctor.findings.checks import bundle, host, model, target, toolkit, torch
from aotpack_doctor.findings.finding import Finding, Kind, Severity, worst_first


class _Pattern(NamedTuple):
    """A message: what it looks like, the kind it belongs to, what to do. `{0}` in a fix is the first group.

    Whatever the kind's usual severity: who met the message as an error has one.
    """

    expression: str
    kind: Kind
    fix: tuple[str, ...]
    severity: Severity = Severity.ERROR


_BUNDLED_LIBC = "aotpack build --portable --libc bundled ...   # brings libc and libstdc++ along"

#: The first pattern that matches a line wins, so the particular come before the general.
_PATTERNS = (
    _Pattern(
        r"hipErrorNoBinaryForGpu|HIP error: no kernel image|(?<!CUDA error: )invalid device function|"
        r"Unable to find code object for all current devices|hipErrorInvalidDeviceFunction|"
        r"HSA_STATUS_ERROR_INVALID_(?:ISA|CODE_OBJECT)",
        toolkit.GFX_WITHOUT_CODE,
        ("rocminfo | grep gfx   # which GPU this is", "aotpack build --backend rocm --arch GFX ...   # with its code"),
    ),
    _Pattern(
        # torch says "CUDA error"; what a model loads of its own kernels says "CUDA driver error".
        r"CUDA driver error: (?:no kernel image|device kernel image is invalid)|CUDA_ERROR_INVALID_IMAGE|"
        r"cudaErrorInvalidKernelImage|CUDA error: device kernel image is invalid",
        model.GPU_ARCH,
        (
            "aotpack inspect MODEL.pt2   # which GPUs it has code for",
            "aotpack export FILE.py:FUNCTION --output MODEL.pt2 --device cuda   # on a GPU of the target's kind",
        ),
    ),
    _Pattern(
        r"CUDA driver error: file not found|cuModuleLoad[^\n]*(?:file not found|CUDA_ERROR_FILE_NOT_FOUND)",
        bundle.MISSING,
        (
            "aotpack build --model MODEL.pt2 ...   # packs the kernels beside the code, wherever that goes",
            "aotpack verify BUNDLE",
        ),
    ),
    _Pattern(
        r"(?i)\b(?:CUDA|HIP)\b[^\n]*out of memory|hipErrorOutOfMemory|cudaErrorMemoryAllocation",
        model.GPU_MEMORY,
        (
            "nvidia-smi   # who else uses the GPU's memory (rocm-smi for AMD)",
            "export the model for a smaller batch, or in bfloat16",
        ),
    ),
    _Pattern(
        r"provided PTX was compiled with an unsupported toolchain|cudaErrorUnsupportedPtxVersion|"
        r"CUDA_ERROR_UNSUPPORTED_PTX_VERSION",
        toolkit.DRIVER_MINOR,
        (
            "aotpack build --backend cuda --arch SM ...   # with machine code for the GPU, which needs no PTX",
            "update the NVIDIA driver: https://www.nvidia.com/drivers",
        ),
    ),
    _Pattern(
        r"forward compatibility was attempted on non supported HW|CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE|Error 804",
        toolkit.DRIVER_TOO_OLD,
        (
            "update the host's NVIDIA driver: https://www.nvidia.com/drivers",
            "sudo apt-get remove 'cuda-compat-*'   # in the image: it hides the driver that the host hands in",
        ),
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
        r"The NVIDIA driver on your system is too old|"
        r"nvidia-container-cli: requirement error: unsatisfied condition: (?:cuda|driver)",
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
        r"system not yet initialized|cudaErrorSystemNotReady|CUDA_ERROR_SYSTEM_NOT_READY|Error 802",
        toolkit.NVIDIA_UNUSABLE,
        (
            "sudo systemctl start nvidia-fabricmanager   # GPUs that are joined by NVSwitch wait for it",
            "nvidia-smi -q | grep -A2 Fabric   # Completed, once it is done",
        ),
    ),
    _Pattern(
        r"CUDA unknown error|cudaErrorUnknown|CUDA_ERROR_UNKNOWN|"
        r"Failed to initialize NVML: (?:Unknown Error|Insufficient Permissions)|"
        r"Unable to determine the device handle for GPU|GPU is lost",
        toolkit.NVIDIA_UNUSABLE,
        (
            "ls -l /dev/nvidia*   # are the devices there, and may this user write to them?",
            "sudo nvidia-modprobe -u -c 0   # makes them; inside a container, start that again",
            "sudo dmesg | grep -i -e nvrm -e xid   # what the driver says of the GPU",
        ),
    ),
    _Pattern(
        r"No CUDA GPUs are available",
        toolkit.HIDDEN_GPUS,
        (
            "echo $CUDA_VISIBLE_DEVICES   # when it is set: unset CUDA_VISIBLE_DEVICES",
            "nvidia-smi -L   # what there is",
        ),
    ),
    _Pattern(
        r"could not select device driver.*gpu|nvidia-container-cli: initialization error|"
        r"invalid runtime name: nvidia|lib(?:cuda|nvidia-ml)\.so[.\d]*: file too short",
        toolkit.CONTAINER_WITHOUT_GPUS,
        ("install the NVIDIA Container Toolkit, then: docker run --gpus all ...",),
    ),
    _Pattern(
        r"stubs/libcuda|CUDA driver is a stub library|cudaErrorStubLibrary",
        toolkit.LIBCUDA_STUB,
        ("unset LD_LIBRARY_PATH",),
    ),
    _Pattern(
        r"The detected CUDA version \(([\d.]+)\) mismatches the version that was used to compile PyTorch",
        toolkit.TOOLKIT_MAJOR,
        ("ls -d /usr/local/cuda-*   # then: export CUDA_HOME=/usr/local/cuda-VERSION, not {0}",),
    ),
    _Pattern(
        r"not compiled with (?:CUDA|ROCm|HIP) (?:enabled|support)|Could not run '\S+' with arguments from the "
        r"'(?:CUDA|HIP)' backend",
        torch.VARIANT,
        ("aotpack init --backend cuda   # or rocm",),
    ),
    _Pattern(
        r"undefined symbol: (iJIT_\w+)",
        torch.PACKAGE_VERSION,
        (
            "conda install 'mkl<2024.1'   # the last that has {0}",
            "aotpack init --backend cpu   # needs no MKL of conda's",
        ),
    ),
    _Pattern(
        r"undefined symbol: (\S*(?:nvJitLink|cudnn|cublas|cusparse|nccl)\S*)",
        torch.PACKAGE_VERSION,
        ("aotpack doctor --backend cuda   # names the package and the version",),
    ),
    _Pattern(
        r"(lib(?:cu|nv|nccl)[\w-]*\.so[.\d]*): cannot open shared object file|"
        r"failed to open (libnvrtc-builtins\S*)|(?:Could not load library|Unable to load any of) \{?(libcudnn[\w.-]*)",
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
        r"Missing system database file: (\S+)",
        toolkit.NO_ROCM_DATA,
        ("ls BUNDLE/lib/torch/share/miopen/db   # {0} is for one kind of GPU; without it the first calls are slow",),
        Severity.WARNING,
    ),
    _Pattern(
        r"FATAL: kernel too old",
        target.KERNEL,
        ("uname -r   # this machine's kernel", "build the bundle on a system with an older libc"),
    ),
    _Pattern(
        r"Error loading shared library (?:ld-linux\S*|libc\.so\.6)|Error relocating [^\n]*symbol not found|"
        r"cannot execute: required file not found|/bin/aotrun: not found|"
        r"No such file or directory[^\n]*ld-linux|ld-linux[^\n]*No such file or directory",
        target.GLIBC,
        (_BUNDLED_LIBC,),
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
        (
            "aotpack export --cpu-isa portable ...   # for all CPUs",
            "grep -m1 flags /proc/cpuinfo   # what this CPU has",
        ),
    ),
    _Pattern(
        r"(?:(\S+): )?cannot allocate memory in static TLS block",
        bundle.STATIC_TLS,
        (
            "LD_PRELOAD={0} PROGRAM ...   # loads it at the start, when there is room",
            "GLIBC_TUNABLES=glibc.rtld.optional_static_tls=16384 PROGRAM ...   # more room (glibc 2.32 and newer)",
        ),
    ),
    _Pattern(
        r"OMP: Error #15: Initializing (\S+?),? but found (\S+) already initialized",
        bundle.OPENMP,
        (
            "grep -oE '/\\S*lib(gomp|iomp5|omp)\\S*' /proc/PID/maps | sort -u   # who brings {0}",
            "python -m pip list; conda list   # install numpy, MKL and torch from one place, pip or conda",
        ),
    ),
    _Pattern(r"cannot enable executable stack", bundle.STACK, ("patchelf --clear-execstack LIBRARY",)),
    _Pattern(
        r"failed to map segment from shared object(?!: Cannot allocate)",
        target.NOEXEC,
        ("findmnt -T BUNDLE   # look for noexec", "cp -a BUNDLE /another/disk/"),
    ),
    _Pattern(
        r"file too short|invalid ELF header|ELF load command [^\n]* past end",
        bundle.CHANGED,
        ("aotpack verify BUNDLE", "rsync -a --checksum SOURCE/ BUNDLE/   # copy the bundle again from where it came"),
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
        Severity.WARNING,
    ),
    _Pattern(
        r"aotrun['\"]?: Permission denied|not allowed to execute: ",
        target.UNREADABLE,
        (
            "chmod -R a+rX BUNDLE && chmod +x BUNDLE/bin/*",
            "findmnt -T BUNDLE   # look for noexec, which looks the same",
        ),
    ),
    _Pattern(
        r"Failed to find a generated cpp file or so file|PytorchStreamReader failed|File is not a zip file|"
        r"failed finding central directory",
        model.UNREADABLE,
        (
            "aotpack inspect MODEL.pt2   # what it is",
            "aotpack export FILE.py:FUNCTION --output MODEL.pt2   # compile it",
        ),
    ),
    _Pattern(
        r"InvalidCxxCompiler|No working C\+\+ compiler found|Failed to find C compiler|"
        r"(?:^|[\s'/])(?:g|c|clang)\+\+'?: (?:command )?not found|command '\S*(?:g\+\+|gcc)' failed: No such file",
        host.NO_COMPILER,
        ("sudo apt-get install g++", "export CXX=/path/to/compiler"),
    ),
    _Pattern(
        r"Could not find schema for (\S+)|No such operator (\S+)|operator (\S+::\S+) does not exist",
        model.CUSTOM_OPS,
        ("load the library that registers the operator before the model",),
    ),
    _Pattern(
        r"undefined symbol: (_ZNK?\d*(?:2at|3c10|5torch|6caffe2)\S+)",
        model.MISSING_SYMBOL,
        ("compile the library that asks for {0} again, against this torch", "aotpack doctor   # which torch is used"),
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
    # What a process ends with.
    _Pattern(
        r"^\s*(?:\S+: line \d+:\s+\d+ )?Killed\b|\bSIGKILL\b|oom[-_]kill|Out of memory: Killed process|OOMKilled|"
        r"\bexit(?:ed)?(?: with)?(?: code| status)? 137\b",
        target.SHORTAGE,
        (
            "sudo dmesg | grep -i -e 'killed process' -e oom   # was it the kernel, for want of memory?",
            "give the container or the service more memory (docker run --memory, MemoryMax=), or use a smaller model",
        ),
    ),
    _Pattern(
        r"(?i)segmentation fault|\bSIGSEGV\b|\bsegfault\b|\bSIGABRT\b|^\s*Aborted\b|floating point exception|"
        r"\bSIGFPE\b|\bexit(?:ed)?(?: with)?(?: code| status)? 13[469]\b",
        target.CRASH,
        (
            "BUNDLE/bin/aotrun doctor   # is every file what was sealed, and does something interfere?",
            "BUNDLE/bin/aotrun check --model NAME   # does the model run on its recorded sample?",
            "report it, with the model and the input: no input may end a process",
        ),
    ),
    _Pattern(
        r"(?i)\bbus error\b|\bSIGBUS\b|\bexit(?:ed)?(?: with)?(?: code| status)? 135\b",
        target.MAPPED_FILE,
        (
            "BUNDLE/bin/aotrun doctor   # is every file what was sealed?",
            "df -h BUNDLE /dev/shm; sudo dmesg | grep -i 'i/o error'   # a full or failing disk",
            "put a new bundle beside the old one and rename it; never write into one that is in use",
        ),
    ),
    # What aotrun, aotpack and the C library say themselves; the particular ones, the others by their shape (`_own`).
    _Pattern(
        r"(?i)out of memory|cannot allocate memory|too many open files|\bMemoryError\b|\bbad_alloc\b|"
        r"may have no more (?:memory|open files)|ran out of memory",
        target.SHORTAGE,
        ("ulimit -a   # the limits of this shell", "free -m   # what memory there is"),
    ),
    _Pattern(
        r"needs (GLIBC(?:XX)?_[\d.]+), which this system's libraries do not have",
        target.GLIBC,
        (_BUNDLED_LIBC, "use a newer system than one without {0}"),
    ),
    _Pattern(
        r"needs the function (\S+), which this runtime|which is no part of this bundle's runtime",
        model.MISSING_SYMBOL,
        ("aotpack build --runtime full --model MODEL.pt2 ...   # a bundle for this model",),
    ),
    _Pattern(
        r"(?:is code for \S+|is for \S+)[;,] this (?:machine )?is",
        model.MACHINE,
        ("uname -m   # what this machine is", "aotpack export ...   # on that type of machine"),
    ),
    _Pattern(
        r"has layers of (?:bfloat16|float16), for which libtorch needs CPU features",
        target.HALVES,
        target.WITHOUT_HALVES,
    ),
    _Pattern(
        r"has weights of four bits in torch's order for",
        target.INT4,
        (
            "aotpack build --runtime slim ...   # reads AVX512's order on every CPU",
            "quantise and export it again on a machine with AVX-512",
        ),
    ),
    _Pattern(
        r"has not got these instructions",
        model.ISA,
        (
            "aotpack export --cpu-isa portable ...   # then build again",
            "BUNDLE/bin/aotrun doctor   # what is missing here",
        ),
    ),
    _Pattern(
        r"may not be (?:used|read|executed)|not allowed to look at: |: Permission denied$",
        target.UNREADABLE,
        (
            "chmod -R a+rX BUNDLE && chmod +x BUNDLE/bin/*",
            "findmnt -T BUNDLE   # look for noexec, which looks the same",
        ),
    ),
    _Pattern(
        r"has another content: SHA-256|has \d+ bytes(?: instead of|, not) \d+|its digest is|"
        r"says something else than bundle\.json",
        bundle.CHANGED,
        ("rsync -a --checksum SOURCE/ BUNDLE/   # copy the bundle again from where it came",),
    ),
    _Pattern(
        r"^error: (?:missing (?:runner|loader|interpreter): )|there is no model at |\bCopy the whole bundle again\b",
        bundle.MISSING,
        (
            "rsync -a --checksum SOURCE/ BUNDLE/   # copy the bundle again from where it came",
            "BUNDLE/bin/aotrun doctor   # what else is missing",
        ),
    ),
)
#: A finding's code, wherever it stands in a line.
_CODE = re.compile(r"\bAP\d{3}\b")


def explain(text: str) -> list[Finding]:
    """The findings that a pasted text speaks of, each kind once, worst first; none when nothing in it is known."""
    lines = text.splitlines()
    found: dict[str, Finding] = {}
    for number, line in enumerate(lines):
        finding = _coded(line) or _known(line) or _own(lines[number : number + 3])
        if finding is not None:
            found.setdefault(finding.kind.code, finding)
    if OWN.code in found and len(found) > 1:
        del found[OWN.code]  # another line of the same message says more
    return worst_first(list(found.values()))


def _coded(line: str) -> Finding | None:
    """The finding whose code is named."""
    code = _CODE.search(line)
    kind = kinds().get(code[0]) if code else None
    if kind is None:
        return None
    return kind.found(line.strip(), "BUNDLE/bin/aotrun doctor   # is it so here? and what to do about it")


def _known(line: str) -> Finding | None:
    for pattern in _PATTERNS:
        match = re.search(pattern.expression, line)
        if match:
            groups = [group for group in match.groups() if group] or [match[0]]
            fix = (step.replace("{0}", groups[0]) for step in pattern.fix)
            return pattern.kind.found(line.strip(), *fix, severity=pattern.severity)
    return None


def _own(lines: list[str]) -> Finding | None:
    """A message of aotpack (the second and third line indented) or of aotrun (sentences)."""
    if len(lines) < 3 or not lines[0].startswith("error: "):
        return None
    what, meaning, fix = lines[0][len("error: ") :].strip(), lines[1].strip(), lines[2].strip()
    by_aotpack = lines[1].startswith("  ") and fix.startswith("fix: ")
    by_aotrun = not lines[1].startswith(" ") and meaning[-1:] in (".", "!", "?")
    if not what or not fix or not (by_aotpack or by_aotrun):
        return None
    return OWN.found(f"{what} ({meaning.rstrip('.')})", fix[len("fix: ") :] if by_aotpack else fix)


def explainable() -> frozenset[str]:
    """Codes that a message leads to."""
    return frozenset(pattern.kind.code for pattern in _PATTERNS)
