"""Doubles of a CUDA torch, in the two layouts that its wheels have. No NVIDIA software is in them.

Needs, search paths and symbol versions are those of torch 2.13.0+cu130 and 2.9.1+cu128. Each vendor library
exports one function that returns a number of its own, so a test sees which library answered, a stub or the real one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.support.doubles.elf import Double, compile_doubles
from tests.support.doubles.environment import CPU_LIBRARIES, make_environment, record


@dataclass(frozen=True)
class Layout:
    """Where a generation of NVIDIA's wheels puts what.

    Attributes:
        version: torch's, with its tag.
        cuda: CUDA's.
        folders: library stem -> folder of its wheel below `nvidia/`.
        majors: library stem -> number behind `.so.`.
        apart: whether every library has a folder of its own.
    """

    version: str
    cuda: str
    folders: Mapping[str, str]
    majors: Mapping[str, str]
    apart: bool

    def name(self, stem: str) -> str:
        """File name of a library."""
        return f"lib{stem}.so.{self.majors[stem]}"

    def path(self, stem: str) -> str:
        """Its place below site-packages."""
        return f"nvidia/{self.folders[stem]}/lib/{self.name(stem)}"


#: Library stem -> the folder of its wheel below `nvidia/`, where every library has its own.
_STEMS = {
    "cudart": "cuda_runtime",
    "cublas": "cublas",
    "cublasLt": "cublas",
    "cufft": "cufft",
    "curand": "curand",
    "cusolver": "cusolver",
    "cusparse": "cusparse",
    "nvJitLink": "nvjitlink",
    "nvrtc": "cuda_nvrtc",
    "nvrtc-builtins": "cuda_nvrtc",
    "cupti": "cuda_cupti",
    "cufile": "cufile",
}
#: cuDNN is a thin library that opens its parts.
_CUDNN = ("cudnn", "cudnn_graph", "cudnn_ops", "cudnn_cnn", "cudnn_heuristic", "cudnn_engines_precompiled")
#: In a folder of their own whatever the generation.
_APART = {**dict.fromkeys(_CUDNN, "cudnn"), "nccl": "nccl", "cusparseLt": "cusparselt", "nvshmem_host": "nvshmem"}
_SAME_MAJORS = {
    **dict.fromkeys(_CUDNN, "9"),
    "curand": "10",
    "cufile": "0",
    "nccl": "2",
    "cusparseLt": "0",
    "nvshmem_host": "3",
}

CU13 = Layout(
    version="2.13.0+cu130",
    cuda="13.0",
    folders={**dict.fromkeys(_STEMS, "cu13"), **_APART},
    majors={
        **_SAME_MAJORS,
        **dict.fromkeys(("cudart", "cublas", "cublasLt", "nvJitLink", "nvrtc", "cupti"), "13"),
        **dict.fromkeys(("cufft", "cusolver", "cusparse"), "12"),
        "nvrtc-builtins": "13.0",
    },
    apart=False,
)
CU12 = Layout(
    version="2.13.0+cu128",
    cuda="12.8",
    folders={**_STEMS, **_APART},
    majors={
        **_SAME_MAJORS,
        **dict.fromkeys(("cudart", "cublas", "cublasLt", "nvJitLink", "nvrtc", "cusparse", "cupti"), "12"),
        **dict.fromkeys(("cufft", "cusolver"), "11"),
        "nvrtc-builtins": "12.8",
    },
    apart=True,
)

#: What each vendor library's function answers.
NUMBERS = {stem: number for number, stem in enumerate([*_STEMS, *_APART], start=100)}
#: Those that libtorch_cuda links to, in its order.
LINKED = (
    "cudart", "cusparse", "cufft", "cufile", "cusparseLt", "nccl", "curand", "cublas", "cublasLt", "cudnn", "nvrtc",
)  # fmt: skip
#: Libraries whose symbols carry a version, as in NVIDIA's.
_VERSIONED = ("cudart", "cublas", "cublasLt", "cufft", "cusparse", "cudnn", "nvrtc", "cupti")


@dataclass(frozen=True)
class CudaDouble:
    """A generated environment."""

    prefix: Path
    site_packages: Path
    layout: Layout


def make_cuda(prefix: Path, backend_venv: Path, scratch: Path, layout: Layout) -> CudaDouble:
    """Generate an environment."""
    site_packages = make_environment(prefix, backend_venv, layout.version, cuda=layout.cuda)
    # libcuda.so.1 belongs to the driver: it is linked to and lies in no wheel.
    driver = Double("libcuda.so.1", "int cuInit(unsigned flags) { return (int)flags; }\n")
    compile_doubles(scratch / "driver", [driver], scratch)
    vendor = _vendor_doubles(layout)
    torch = _torch_doubles(layout)
    compile_doubles(site_packages, [*vendor, *torch], scratch)
    own = [site_packages / "torch" / "lib" / name for name in CPU_LIBRARIES]
    own += [site_packages / double.path for double in torch]
    record(site_packages, f"torch-{layout.version.partition('+')[0]}", own, "BSD-3-Clause")
    by_wheel: dict[str, list[Path]] = {}
    for double in vendor:
        wheel = "nvidia_" + Path(double.path).parts[1] + "-" + layout.cuda
        by_wheel.setdefault(wheel, []).append(site_packages / double.path)
    for wheel, files in by_wheel.items():
        licence = site_packages / f"{wheel}.dist-info" / "licenses" / "License.txt"
        licence.parent.mkdir(parents=True)
        licence.write_text("the vendor's licence\n")
        record(site_packages, wheel, [*files, licence], "LicenseRef-NVIDIA-Proprietary")
    return CudaDouble(prefix, site_packages, layout)


#: Names the GPU that the runtime below shows: 90 for sm_90.
GPU_VARIABLE = "CUDA_DOUBLE_GPU"
#: A CUDA runtime on a machine without a driver: every call says so, as NVIDIA's does. With a GPU named, it tells that.
_RUNTIME = r"""
#include <stddef.h>
#include <stdlib.h>
static int gpu(void) { return getenv("GPU_VARIABLE") ? atoi(getenv("GPU_VARIABLE")) : 0; }
int cudaGetDeviceCount(int* count) { if (count) *count = gpu() != 0; return gpu() ? 0 : 35; }
int cudaSetDevice(int device) { return gpu() && device == 0 ? 0 : 35; }
int cudaDeviceSynchronize(void) { return 35; }
int cudaMemGetInfo(size_t* available, size_t* total) { (void)available; (void)total; return 35; }
int cudaMalloc(void** pointer, size_t bytes) { (void)pointer; (void)bytes; return 35; }
int cudaFree(void* pointer) { (void)pointer; return 35; }
int cudaMemcpy(void* to, const void* from, size_t bytes, int kind) {
  (void)to; (void)from; (void)bytes; (void)kind;
  return 35;
}
int cudaGetDeviceProperties(void* properties, int device) {
  if (gpu()) *(char*)properties = '\0';
  return gpu() && device == 0 ? 0 : 35;
}
int cudaDeviceGetAttribute(int* value, int attribute, int device) {
  *value = attribute == 75 ? gpu() / 10 : gpu() % 10;
  return gpu() && device == 0 ? 0 : 35;
}
const char* cudaGetErrorString(int code) {
  (void)code;
  return "CUDA driver version is insufficient for CUDA runtime version";
}
""".replace("GPU_VARIABLE", GPU_VARIABLE)


def _function(stem: str) -> str:
    return stem.replace("-", "_") + "_number"


def _source(stem: str, opens: tuple[str, ...] = ()) -> str:
    """A library that answers its number, and opens others by bare name when told to."""
    names = "".join(f'"{name}", ' for name in opens)
    return (
        (_RUNTIME if stem == "cudart" else "") + "#include <dlfcn.h>\n#include <stddef.h>\n"
        f"int {_function(stem)}(void) {{ return {NUMBERS[stem]}; }}\n"
        f"static const char* const names[] = {{{names}NULL}};\n"
        f"const char* {stem.replace('-', '_')}_open(void) {{\n"
        "  for (int i = 0; names[i]; ++i) if (!dlopen(names[i], RTLD_NOW)) return dlerror();\n"
        "  return NULL;\n}\n"
    )


def _vendor_doubles(layout: Layout) -> list[Double]:
    def relative(*stems: str) -> str:
        """RUNPATH as in the wheels: its own folder, then its siblings' where they are apart."""
        folders = dict.fromkeys(layout.folders[stem] for stem in stems)
        return ":".join(["$ORIGIN", *(f"$ORIGIN/../../{folder}/lib" for folder in folders)])

    # cuFFT and cuSPARSE of CUDA 12 have their own folder last.
    after_jitlink = "$ORIGIN/../../nvjitlink/lib:$ORIGIN" if layout.apart else "$ORIGIN"
    for_solver = relative("cublas", "nvJitLink", "cusparse") if layout.apart else "$ORIGIN"
    for_cudnn = relative("cublas", "nvrtc", "cudart")

    def double(
        stem: str, needed: tuple[str, ...] = (), opens: tuple[str, ...] = (), runpath: str | None = "$ORIGIN"
    ) -> Double:
        return Double(
            layout.path(stem),
            _source(stem, tuple(layout.name(name) for name in opens)),
            needed=tuple(layout.name(name) for name in needed),
            runpath=runpath,
            version=layout.name(stem) if stem in _VERSIONED else None,
        )

    return [
        double("cudart", runpath=None),
        double("nvrtc-builtins", runpath=None),
        double("nvrtc", opens=("nvrtc-builtins",), runpath="$ORIGIN" if layout.apart else None),
        double("nvJitLink", runpath=None),
        double("cublasLt"),
        double("cublas", ("cublasLt",)),
        double("cufft", opens=("nvJitLink",), runpath=after_jitlink),
        double("curand"),
        double("cufile", runpath=None),
        double("cupti", runpath=None),
        double("nccl", runpath=None),
        double("cusparseLt"),
        double("nvshmem_host", runpath=None),
        double("cusparse", ("nvJitLink",), runpath=after_jitlink),
        double("cusolver", ("nvJitLink", "cusparse", "cublas", "cublasLt"), runpath=for_solver),
        double("cudnn_graph", opens=("cudnn_engines_precompiled", "cudnn_heuristic"), runpath=for_cudnn),
        double("cudnn_ops", ("cudnn_graph",), runpath=for_cudnn),
        double("cudnn_cnn", ("cudnn_ops", "cudnn_graph"), runpath=for_cudnn),
        double("cudnn_heuristic", ("cudnn_graph",), runpath=for_cudnn),
        double("cudnn_engines_precompiled", ("cudnn_graph",), ("nvrtc",), for_cudnn),
        double("cudnn", opens=("cudnn_graph", "cudnn_ops", "cudnn_cnn")),
    ]


def _torch_doubles(layout: Layout) -> list[Double]:
    folders = dict.fromkeys(layout.folders.values())
    rpath = ":".join([*(f"$ORIGIN/../../nvidia/{folder}/lib" for folder in folders), "$ORIGIN"])

    def calls(*stems: str) -> str:
        declarations = "".join(f"int {_function(stem)}(void);\n" for stem in stems)
        cases = "".join(f"    case {NUMBERS[stem]}: return {_function(stem)}();\n" for stem in stems)
        return (
            declarations
            + f"int NAME_call(int number) {{\n  switch (number) {{\n{cases}    default: return -1;\n  }}\n}}\n"
        )

    linalg = (
        "#include <dlfcn.h>\n"
        "const char* torch_cuda_linalg(void) {\n"
        '  return dlopen("libtorch_cuda_linalg.so", RTLD_NOW) ? "" : dlerror();\n'
        "}\n"
    )
    # It links to cuRAND and cuFile and calls nothing in them, as the real one.
    called = tuple(stem for stem in LINKED if stem not in ("curand", "cufile"))
    return [
        Double(
            "torch/lib/libc10_cuda.so",
            calls("cudart").replace("NAME", "c10_cuda"),
            needed=(layout.name("cudart"),),
            rpath=rpath,
        ),
        Double(
            "torch/lib/libtorch_nvshmem.so",
            calls("nvshmem_host").replace("NAME", "torch_nvshmem"),
            needed=(layout.name("nvshmem_host"),),
            rpath=rpath,
        ),
        Double(
            "torch/lib/libtorch_cuda.so",
            calls(*called).replace("NAME", "torch_cuda") + linalg,
            needed=("libtorch_nvshmem.so", "libc10_cuda.so", *(layout.name(stem) for stem in LINKED)),
            rpath=rpath,
        ),
        Double(
            "torch/lib/libtorch_cuda_linalg.so",
            calls("cusolver", "cusparse").replace("NAME", "linalg"),
            needed=("libtorch_cuda.so", layout.name("cusolver"), layout.name("cusparse"), layout.name("cublas")),
            rpath=rpath,
        ),
        Double(
            "torch/lib/libcaffe2_nvrtc.so",
            calls("nvrtc").replace("NAME", "caffe2_nvrtc")
            + "int cuInit(unsigned);\nint driver(void) { return cuInit(0); }\n",
            needed=(layout.name("nvrtc"), "libcuda.so.1"),
            rpath=rpath,
        ),
    ]
