"""A machine in a folder: a root file system, drivers, an environment with a torch, a bundle. All of it healthy.

Tests break one thing and ask the doctor. Libraries are compiled, the kernel's interfaces are files.
"""

from __future__ import annotations

import json
import shutil
import struct
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from aotpack.backend import Backend
from aotpack.bundle import manifest
from aotpack.bundle.manifest import BuildHost, Bundle, BundleFloors, FileRecord
from aotpack.bundle.writing import digests
from aotpack.diagnosing import build_machine
from aotpack.package.metadata import Floors, ModelMetadata, TensorSpec
from aotpack_doctor.base.places import DESCRIPTION
from aotpack_doctor.facts import HostFacts
from aotpack_doctor.findings.catalog import examine
from aotpack_doctor.findings.finding import Finding
from aotpack_doctor.reading.bundle import compare_contents
from tests.support.doubles.elf import Double, compile_doubles
from tests.support.doubles.torch_trees import make_torch_venv

TORCH = {
    "cpu": {"version": "2.13.0+cpu"},
    "cuda": {"version": "2.13.0+cu128", "cuda": "12.8"},
    "rocm": {"version": "2.13.0+rocm7.0", "hip": "7.0.51831"},
}
ARCHS = {"cpu": (), "cuda": ("sm_90",), "rocm": ("gfx90a",)}
RUNTIME = {"cpu": "libtorch_cpu.so", "cuda": "libtorch_cuda.so", "rocm": "libtorch_hip.so"}
_HERE = "$ORIGIN:$ORIGIN/gcc"


def nvml_source(
    driver: str = "570.86.15",
    capability: tuple[int, int] = (9, 0),
    status: int = 0,
    gpus: int = 1,
    memory: int = 80 << 30,
    split: bool = False,
) -> str:
    """A driver's management library that knows one GPU, or refuses with a status."""
    return f"""
#include <string.h>
typedef struct {{ unsigned long long total, free, used; }} memory;
int nvmlInit_v2(void) {{ return {status}; }}
int nvmlShutdown(void) {{ return 0; }}
const char* nvmlErrorString(int status) {{ return status == 18 ? "Driver/library version mismatch" : "error"; }}
int nvmlSystemGetDriverVersion(char* text, unsigned size) {{ strncpy(text, "{driver}", size); return 0; }}
int nvmlDeviceGetCount_v2(unsigned* count) {{ *count = {gpus}; return 0; }}
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void** device) {{ *device = (void*)1; return (int)index; }}
int nvmlDeviceGetName(void* device, char* text, unsigned size) {{ strncpy(text, "NVIDIA H100", size); return !device; }}
int nvmlDeviceGetCudaComputeCapability(void* device, int* major, int* minor) {{
  *major = {capability[0]}; *minor = {capability[1]}; return !device; }}
int nvmlDeviceGetMemoryInfo(void* device, memory* m) {{ m->total = {memory}ull; return !device; }}
int nvmlDeviceGetMigMode(void* device, unsigned* now, unsigned* next) {{ *now = *next = {int(split)}; return !device; }}
"""


def fatbin_source(*archs: tuple[int, int]) -> str:
    """A library with device code: (kind, architecture) pairs; kind 1 is PTX, 2 machine code."""
    elements = b"".join(
        struct.pack("<HHIQIIHHIIIQ", kind, 0x0101, 64, 8, 0, 0, 0, 1, arch, 0, 0, 0).ljust(64, b"\0") + b"\xab" * 8
        for kind, arch in archs
    )
    region = struct.pack("<IHHQ", 0xBA55ED50, 1, 16, len(elements)) + elements
    values = ",".join(map(str, region))
    return f'__attribute__((section(".nv_fatbin"), used)) static const unsigned char code[] = {{{values}}};\n{SHIM}'


SHIM = "int aoti_torch_delete_tensor_object(void* tensor) { return !tensor; }\n"
MODEL = "int aoti_torch_delete_tensor_object(void*); int model(void) { return aoti_torch_delete_tensor_object(0); }\n"
BRIDGE = 'const char* aot_build_info(void) { return "{\\"cpu_features\\": [\\"avx2\\", \\"fma\\"]}"; }\n'


def compile_one(folder: Path, double: Double, scratch: Path) -> Path:
    """Compile one library into a folder."""
    compile_doubles(folder, [double], scratch)
    return folder / double.path


@dataclass
class Machine:
    """The folder and how to look at it."""

    folder: Path
    backend: str
    env: dict[str, str] = field(default_factory=dict)

    @property
    def root(self) -> Path:
        return self.folder / "root"

    @property
    def project(self) -> Path:
        return self.folder / "project"

    @property
    def venv(self) -> Path:
        return self.project / Backend(self.backend).venv_name

    @property
    def torch(self) -> Path:
        return self.venv / "lib/python3.11/site-packages/torch"

    @property
    def bundle(self) -> Path:
        return self.folder / "bundle"

    @property
    def scratch(self) -> Path:
        return self.folder / "scratch"

    def facts(self, *, bundle: bool = True, models: tuple[Path, ...] = (), **options: Any) -> HostFacts:
        """What the doctor sees."""
        seen = build_machine.read_facts(
            backend=Backend(self.backend),
            bundle=self.bundle if bundle else None,
            models=models,
            env={"PATH": "", **self.env},
            cwd=self.project,
            root=str(self.root),
            nvml=str(self.folder / "libnvidia-ml.so.1"),
            **options,
        )
        return seen._replace(bundle=compare_contents(seen.bundle, lambda _done: None)) if seen.bundle else seen

    def findings(self, **options: Any) -> list[Finding]:
        """What the doctor says."""
        return examine(self.facts(**options))

    def write(self, path: str, text: str) -> Path:
        """A file below the root."""
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        return target

    def nvml(self, **options: Any) -> None:
        """Another driver."""
        (self.folder / "libnvidia-ml.so.1").unlink(missing_ok=True)
        compile_one(self.folder, Double("libnvidia-ml.so.1", nvml_source(**options)), self.scratch)

    def library(self, path: str, source: str = "int nothing;\n", **options: Any) -> Path:
        """Compile a library into the bundle (not yet part of its description)."""
        return compile_one(self.bundle, Double(path, source, **options), self.scratch)

    def seal(
        self, *, model: dict[str, Any] | None = None, floors: dict[str, Any] | None = None, **changes: Any
    ) -> None:
        """Describe the bundle as it lies there."""
        device = self.backend
        described = ModelMetadata(
            inputs=(TensorSpec("x", "float32", (8, 64)),),
            outputs=(TensorSpec("y", "float32", (8, 10)),),
            device=device,
            torch_version=TORCH[device]["version"],
            cpu_features=("avx2",),
            gpu_archs=ARCHS[device],
            floors=Floors(glibc="2.34", glibcxx="3.4.29"),
            aotpack_version="0.1.0",
        )
        described = msgspec.structs.replace(described, **(model or {}))
        own = self.bundle / "models/mlp/model.json"
        if own.is_file() and not own.is_symlink():
            own.write_bytes(msgspec.json.encode(described))
        least = BundleFloors(
            glibc="2.34",
            kernel="3.2",
            cpu_features=("avx2",),
            driver="525.60.13" if device == "cuda" else None,
            embedding_glibcxx="3.4.29",
        )
        bundle = Bundle(
            aotpack="0.1.0",
            backend=Backend(device),
            runtime="full",
            portable=True,
            libc="host",
            python="host",
            torch=manifest.Torch(TORCH[device]["version"], Backend(device)),
            built_on=BuildHost(system="Debian 12", machine="x86_64", glibc="2.36", compiler="gcc 12", python=None),
            floors=msgspec.structs.replace(least, **(floors or {})),
            gpu_archs=ARCHS[device],
            models={"mlp": described},
            files=changes.pop("files", None) or tuple(self.records()),
        )
        (self.bundle / DESCRIPTION).write_bytes(manifest.encode(msgspec.structs.replace(bundle, **changes)))

    def records(self) -> list[FileRecord]:
        """The files of the bundle as they are."""
        records = []
        for path in sorted(self.bundle.rglob("*")):
            name = path.relative_to(self.bundle).as_posix()
            if path.is_symlink():
                records.append(FileRecord(path=name, part="runtime", reason="test", link=str(path.readlink())))
            elif path.is_file() and name != DESCRIPTION:
                size = path.stat().st_size
                digest, pieces = digests(path, size)
                record = FileRecord(path=name, part="runtime", reason="test", size=size, sha256=digest, pieces=pieces)
                records.append(msgspec.structs.replace(record, executable=name.startswith("bin/")))
        return records


def make_machine(folder: Path, backend: str) -> Machine:
    """A healthy machine."""
    machine = Machine(folder, backend)
    machine.write("etc/os-release", 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n')
    machine.write("proc/cpuinfo", "model name\t: Test CPU\nflags\t\t: fpu pni avx avx2 fma abm\n")
    machine.write("proc/self/mounts", "/dev/sda1 / ext4 rw,relatime 0 0\n")
    machine.write(
        "lib/x86_64-linux-gnu/libc.so.6", "GNU C Library (Debian GLIBC 2.36-9) stable release version 2.36.\n"
    )
    machine.write("usr/lib/x86_64-linux-gnu/libstdc++.so.6", "GLIBCXX_3.4\0GLIBCXX_3.4.9\0GLIBCXX_3.4.30\0")
    torch = TORCH[backend]
    make_torch_venv(machine.venv, backend, **torch)
    _install(
        machine, "torch", torch["version"], 'Requires-Dist: filelock\nRequires-Dist: nvidia-x==1.2; "cu" in extra\n'
    )
    _install(machine, "filelock", "4.0")
    _fill_bundle(machine)
    {"cpu": lambda _: None, "cuda": _make_cuda, "rocm": _make_rocm}[backend](machine)
    machine.seal()
    return machine


def _install(machine: Machine, name: str, version: str, more: str = "") -> None:
    info = machine.torch.parent / f"{name}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{more}")


def _fill_bundle(machine: Machine) -> None:
    runtime = RUNTIME[machine.backend]
    doubles = [
        Double("lib/libhelper.so", "int helper(void) { return 1; }\n"),
        Double("lib/libaot_bridge.so", BRIDGE, needed=("libhelper.so",), runpath=_HERE),
        Double(f"lib/{runtime}", SHIM, needed=("libhelper.so",), runpath=_HERE),
        Double("models/mlp/model.so", MODEL, needed=(runtime,), runpath="$ORIGIN/../../lib"),
    ]
    compile_doubles(machine.bundle, doubles, machine.scratch)
    (machine.bundle / "bin").mkdir()
    shutil.copy2(machine.bundle / "lib/libhelper.so", machine.bundle / "bin/aotrun")
    (machine.bundle / "bin/aotrun").chmod(0o755)
    (machine.bundle / "models/mlp/model.json").touch()  # written when the bundle is sealed


def _make_cuda(machine: Machine) -> None:
    machine.write("sys/module/nvidia/version", "570.86.15\n")
    for node in ("nvidia0", "nvidiactl", "nvidia-uvm"):
        machine.write(f"dev/{node}", "")
    machine.write("lib/x86_64-linux-gnu/libcuda.so.1", "")
    machine.write("usr/local/cuda/version.json", json.dumps({"cuda": {"name": "CUDA SDK", "version": "12.8.1"}}))
    machine.nvml()
    compile_doubles(machine.torch, [Double("lib/libtorch_cuda.so", fatbin_source((2, 90), (1, 90)))], machine.scratch)


def _make_rocm(machine: Machine) -> None:
    (machine.root / "sys/module/amdgpu").mkdir(parents=True)
    machine.write("dev/kfd", "")
    machine.write("dev/dri/renderD128", "")
    machine.write("sys/class/kfd/kfd/topology/nodes/0/properties", "cpu_cores_count 8\ngfx_target_version 0\n")
    machine.write("sys/class/kfd/kfd/topology/nodes/1/properties", "simd_count 440\ngfx_target_version 90010\n")
    machine.write("sys/class/kfd/kfd/topology/nodes/1/name", "aldebaran\n")
    for lib in (machine.bundle / "lib", machine.torch / "lib"):
        doubles = [
            Double("libamdhip64.so", "int hip;\n", "libamdhip64.so.7"),
            Double("librocblas.so", "int rocblas;\n", "librocblas.so.5", ("libamdhip64.so",), runpath="$ORIGIN"),
            Double("libtorch_hip.so", SHIM, None, ("librocblas.so",), runpath="$ORIGIN"),
        ]
        compile_doubles(lib, doubles, machine.scratch)
        (lib / "libamdhip64.so.7").symlink_to("libamdhip64.so")
        data = lib / "rocblas/library"
        data.mkdir(parents=True)
        (data / "TensileLibrary_gfx90a.dat").write_text("data")


def write_package(path: Path, library: Path, *, device: str = "cpu", own: ModelMetadata | None = None) -> Path:
    """A .pt2 as AOTInductor writes it, around a compiled library."""
    keys = {"AOTI_DEVICE_KEY": device} | ({"aotpack": msgspec.json.encode(own).decode()} if own else {})
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("m/archive_format", "pt2")
        archive.writestr("m/version", "0")
        archive.write(library, "m/data/aotinductor/model/c.wrapper.so")
        archive.writestr("m/data/aotinductor/model/c.wrapper_metadata.json", json.dumps(keys))
    return path
