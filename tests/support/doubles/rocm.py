"""Doubles of a ROCm torch, in the two layouts that its wheels have. No AMD software is in them.

Every library double answers `NAME_data()` with the path of the data it found, or "" when there is none. It looks as the
vendor's library does: `LOOKUPS` has one C function a way of looking.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.support.doubles.elf import Double, compile_doubles
from tests.support.doubles.environment import make_environment

_LOOKUPS = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <libgen.h>
#include <limits.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char found[PATH_MAX];

static const char* probe(const char* folder, const char* data) {
  snprintf(found, sizeof found, "%.2000s/%.2000s", folder, data);
  if (access(found, R_OK) != 0) found[0] = 0;
  return found;
}

static const char* own_name(void) {
  Dl_info info;
  return dladdr((void*)own_name, &info) ? info.dli_fname : "";
}

/* hipBLASLt, aotriton: the name as the loader has it, links and all. */
static const char* look_raw(const char* data) {
  char name[PATH_MAX];
  snprintf(name, sizeof name, "%s", own_name());
  return probe(dirname(name), data);
}

/* MIOpen: the canonical path, links resolved. */
static const char* look_canonical(const char* data) {
  char name[PATH_MAX];
  if (realpath(own_name(), name) == NULL) return "";
  return probe(dirname(name), data);
}

/* rocBLAS, hipSPARSELt: the last loaded object whose name contains a word; when there is none, the vendor's folder. */
static const char* word;
static char last[PATH_MAX];
static int visit(struct dl_phdr_info* info, size_t size, void* unused) {
  (void)size; (void)unused;
  const char* const name = info->dlpi_name;
  if (name != NULL && strstr(name, word) != NULL) snprintf(last, sizeof last, "%s", name);
  return 0;
}
static const char* look_last_named(const char* wanted, const char* const* places, const char* data) {
  word = wanted;
  last[0] = 0;
  dl_iterate_phdr(visit, NULL);
  if (last[0] == 0) return probe("/opt/rocm/lib", data);
  char folder[PATH_MAX];
  snprintf(folder, sizeof folder, "%s", last);
  char* const directory = dirname(folder);
  for (; *places != NULL; ++places) {
    char place[PATH_MAX];
    snprintf(place, sizeof place, "%.1500s/%.500s", directory, *places);
    if (access(place, R_OK) == 0) return probe(directory, *places);
  }
  return "";
}
"""

_ROCBLAS_PLACES = (
    '"../../Tensile/library", "library", "../rocblas/library", "../Tensile/library", "rocblas/library", NULL'
)


@dataclass(frozen=True)
class Searcher:
    """A library that looks for data.

    Attributes:
        name: as in `lib<name>.so`.
        major: of its SONAME.
        look: C expression that returns the path found.
        data: files it comes with, relative to its own folder.
    """

    name: str
    major: str
    look: str
    data: tuple[str, ...]

    @property
    def function(self) -> str:
        """The C function that answers what was found."""
        return f"{self.name}_data"


SEARCHERS = (
    Searcher(
        "rocblas",
        "5",
        f"({{ static const char* const places[] = {{{_ROCBLAS_PLACES}}}; "
        'look_last_named("rocblas.", places, "rocblas/library"); })',
        (
            "rocblas/library/TensileLibrary.dat",
            "rocblas/library/TensileLibrary_fallback.dat",
            "rocblas/library/TensileLibrary_gfx90a.dat",
            "rocblas/library/TensileLibrary_gfx1100.dat",
            "rocblas/library/Kernels.so-000-gfx90a-xnack+.hsaco",
        ),
    ),
    Searcher(
        "hipblaslt",
        "1",
        'look_raw("hipblaslt/library")',
        ("hipblaslt/library/extop_gfx90a.co", "hipblaslt/library/gfx1100/TensileLibrary_lazy_gfx1100.dat"),
    ),
    Searcher(
        "hipsparselt",
        "0",
        '({ static const char* const places[] = {"hipsparselt/library", NULL}; '
        'look_last_named("libhipsparselt.", places, "hipsparselt/library"); })',
        ("hipsparselt/library/TensileLibrary_gfx942.dat", "hipsparselt/library/TensileLibrary_gfx90a.dat"),
    ),
    Searcher(
        "MIOpen",
        "1",
        'look_canonical("../share/miopen/db")',
        (
            "../share/miopen/db/gfx90a6e.db",
            "../share/miopen/db/gfx942130.HIP.fdb.txt",
            "../share/miopen/db/gfx1100.kdb",
        ),
    ),
)
#: Part of torch's own wheel in both layouts.
AOTRITON = Searcher(
    "aotriton_v2",
    "0.11.0",
    'look_raw("aotriton.images")',
    (
        "aotriton.images/amd-gfx90a/flash/attn_fwd.aks2",
        "aotriton.images/amd-gfx11xx/flash/attn_fwd.aks2",
        "aotriton.images/amd-gfx120x/flash/attn_fwd.aks2",
    ),
)
#: Of TheRock alone: its device code was split off and lies beside `lib`.
ROCRAND = Searcher(
    "rocrand",
    "1",
    'look_raw("../.kpack/rand_lib_gfx90a.kpack")',
    ("../.kpack/rand_lib_gfx90a.kpack", "../.kpack/rand_lib_gfx1100.kpack"),
)

_HIP_RUNTIME = (
    _LOOKUPS
    + r"""
/* A HIP runtime on a machine without a GPU: every call says "no device" as AMD's does. */
int hip_instances = 0;
__attribute__((constructor)) static void count(void) { ++hip_instances; }
int hipGetDeviceCount(int* count) { if (count) *count = 0; return 100; }
int hipSetDevice(int device) { (void)device; return 100; }
int hipDeviceSynchronize(void) { return 101; }
int hipMalloc(void** pointer, size_t bytes) { (void)pointer; (void)bytes; return 100; }
int hipFree(void* pointer) { (void)pointer; return 100; }
int hipMemcpy(void* to, const void* from, size_t bytes, int kind) {
  (void)to; (void)from; (void)bytes; (void)kind;
  return 100;
}
/* Under its older and its newer name, of which headers choose one. */
int hipGetDeviceProperties(void* properties, int device) { (void)properties; (void)device; return 100; }
int hipGetDevicePropertiesR0600(void* properties, int device) { (void)properties; (void)device; return 100; }
const char* hipGetErrorString(int code) {
  return code == 100 ? "no ROCm-capable device is detected" : "invalid device ordinal";
}
int hipMemGetInfo(size_t* available, size_t* total) { (void)available; (void)total; return 101; }
const char* amdhip64_path(void) { return own_name(); }
"""
)


def _searcher_source(searcher: Searcher) -> str:
    return (
        _LOOKUPS
        + "extern int hip_instances;\n"
        + f'const char* {searcher.function}(void) {{ return hip_instances ? {searcher.look} : ""; }}\n'
    )


def _torch_hip_source(searchers: tuple[Searcher, ...]) -> str:
    """Every look-up by index, called through the linked libraries as torch's kernels would."""
    declarations = "".join(f"const char* {searcher.function}(void);\n" for searcher in searchers)
    cases = "".join(f"    case {number}: return {searcher.function}();\n" for number, searcher in enumerate(searchers))
    return (
        "#include <stddef.h>\n"
        + declarations
        + "const char* torch_hip_data(int number) {\n"
        + f"  switch (number) {{\n{cases}    default: return NULL;\n  }}\n}}\n"
        + "const char* amdhip64_path(void);\nconst char* torch_hip_runtime(void) { return amdhip64_path(); }\n"
    )


@dataclass(frozen=True)
class RocmDouble:
    """A generated environment.

    Attributes:
        prefix: its folder.
        site_packages: within it.
        searchers: in the order in which `torch_hip_data(n)` of libtorch_hip.so asks them.
    """

    prefix: Path
    site_packages: Path
    searchers: tuple[Searcher, ...]


def make_fat(prefix: Path, backend_venv: Path, scratch: Path) -> RocmDouble:
    """The layout up to ROCm 7.2: all of ROCm in torch/lib under bare names; needs rewritten, SONAMEs not; DT_RPATH."""
    site_packages = make_environment(prefix, backend_venv, "2.13.0+rocm7.2", hip="7.2.53211")
    searchers = (*SEARCHERS, AOTRITON)
    here = "$ORIGIN"
    lib = "torch/lib"
    doubles = [Double(f"{lib}/libamdhip64.so", _HIP_RUNTIME, "libamdhip64.so.7", rpath=here)]
    doubles += [
        Double(
            f"{lib}/lib{s.name}.so", _searcher_source(s), f"lib{s.name}.so.{s.major}", ("libamdhip64.so",), rpath=here
        )
        for s in searchers
    ]
    names = tuple(f"lib{searcher.name}.so" for searcher in searchers)
    doubles += _torch_doubles((*names, "libamdhip64.so"), searchers, here)
    compile_doubles(site_packages, doubles, scratch)
    for searcher in searchers:
        _write_data(site_packages / lib, searcher)
    return RocmDouble(prefix, site_packages, searchers)


def make_therock(prefix: Path, backend_venv: Path, scratch: Path) -> RocmDouble:
    """The layout from ROCm 7.14 on: packages beside torch, files under their SONAMEs, device code in .kpack folders."""
    site_packages = make_environment(prefix, backend_venv, "2.13.0+rocm7.14.0", hip="7.14.60850")
    in_sdk = (*SEARCHERS, ROCRAND)
    searchers = (*in_sdk, AOTRITON)
    core, libraries = "_rocm_sdk_core/lib", "_rocm_sdk_libraries_gfx94X_dcgpu/lib"
    from_core = "$ORIGIN:$ORIGIN/rocm_sysdeps/lib"
    from_libraries = f"$ORIGIN:$ORIGIN/../../{core}:$ORIGIN/../../{core}/rocm_sysdeps/lib"
    from_torch = f"$ORIGIN:$ORIGIN/../../{core}:$ORIGIN/../../{libraries}"
    elf = "librocm_sysdeps_elf.so.1"
    doubles = [
        Double(f"{core}/rocm_sysdeps/lib/{elf}", "int sysdeps_elf(void) { return 1; }\n", rpath="$ORIGIN"),
        Double(
            f"{core}/libamdhip64.so.7",
            _HIP_RUNTIME + "int sysdeps_elf(void);\nint hip_uses_elf(void) { return sysdeps_elf(); }\n",
            needed=(elf,),
            rpath=from_core,
        ),
    ]
    hip = ("libamdhip64.so.7",)
    doubles += [
        Double(f"{libraries}/lib{s.name}.so.{s.major}", _searcher_source(s), needed=hip, rpath=from_libraries)
        for s in in_sdk
    ]
    triton = f"lib{AOTRITON.name}.so.{AOTRITON.major}"
    doubles.append(Double(f"torch/lib/{triton}", _searcher_source(AOTRITON), needed=hip, rpath=from_torch))
    names = tuple(f"lib{searcher.name}.so.{searcher.major}" for searcher in searchers)
    doubles += _torch_doubles((*names, *hip), searchers, from_torch)
    compile_doubles(site_packages, doubles, scratch)
    for searcher in in_sdk:
        _write_data(site_packages / libraries, searcher)
    _write_data(site_packages / "torch/lib", AOTRITON)
    return RocmDouble(prefix, site_packages, searchers)


def _torch_doubles(needed: tuple[str, ...], searchers: tuple[Searcher, ...], rpath: str) -> list[Double]:
    hip = tuple(name for name in needed if name.startswith("libamdhip64"))
    c10 = "const char* amdhip64_path(void);\nconst char* c10_hip_runtime(void) { return amdhip64_path(); }\n"
    return [
        Double("torch/lib/libc10_hip.so", c10, needed=hip, rpath=rpath),
        Double(
            "torch/lib/libtorch_hip.so", _torch_hip_source(searchers), needed=("libc10_hip.so", *needed), rpath=rpath
        ),
    ]


def _write_data(folder: Path, searcher: Searcher) -> None:
    for name in searcher.data:
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"data of {searcher.name}: {file.name}\n")
