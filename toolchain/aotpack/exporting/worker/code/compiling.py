"""AOTInductor: options, instruction set, what came of it."""

from __future__ import annotations

import errno
import json
import os
import platform
import shutil
import subprocess
import tempfile
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch._inductor
from torch._inductor import config, cpp_builder, cpu_vec_isa
from torch._inductor.exc import InvalidCxxCompiler
from torch.utils._pytree import tree_leaves

from ..failure import WorkerError, essence, no_space
from . import extern_kernels, faults, lazy_views, linear_weights, matrix_products, region_errors, reproducible

#: Options of every package.
COMMON: dict[str, Any] = {
    "aot_inductor.package": True,
    # The number of threads is the target's business, not the build machine's.
    "cpp.dynamic_threads": True,
    # Measured: making the two precompiled headers takes 12 s, using them saves nothing on a wrapper of 6 s.
    "aot_inductor.precompile_headers": False,
    # No line tables: 1.1 MB less in each model, and no names of the build machine's folders.
    "aot_inductor.enable_line_tables": False,
    "aot_inductor.enable_frame_pointer": False,
    # The compilers that this torch accepts know AVX-512; probing each instruction set takes 8 s.
    "cpp.vec_isa_ok": True,
}

#: Weights lie in one blob beside the code: they can be mapped and shared. Older torch keeps them in the library.
BLOB: dict[str, Any] = {
    "aot_inductor.package_constants_in_so": False,
    "aot_inductor.package_constants_on_disk_format": "binary_blob",
}

#: On the CPU: small matrix products become generated code, which saves the way through the library
#: (matrix_products.py). It has weights of its own, made at export from those of the module.
PRODUCTS: dict[str, Any] = {
    "max_autotune_gemm": True,
    "max_autotune_gemm_backends": "CPP,ATEN",
}

#: On the CPU: batch norm is folded, weights are packed as kernels like them best. BERT (6 x 768, 1 x 128, one thread,
#: full runtime) takes 92 ms with it and 200 ms without.
FROZEN: dict[str, Any] = {
    "freezing": True,
    "max_autotune": True,
}

#: For weights and buffers that may change, by hand or by a call: Inductor would compute with the values that they had
#: at export for ever (pytorch 2.13: both options do, each by itself).
STATE: dict[str, Any] = {
    "joint_graph_constant_folding": False,
    "freezing": False,
}


@dataclass(frozen=True)
class Isa:
    """A pinned x86 instruction set."""

    #: For the compiler: the oldest processor that has it, a name that also compilers before gcc 11 know.
    march: str
    #: What Inductor may vectorise for, best first.
    vectors: tuple[str, ...]


#: `--cpu-isa`, apart from `native`.
ISAS: dict[str, Isa] = {
    "avx2": Isa("haswell", ("VecAVX2",)),
    "avx512": Isa("skylake-avx512", ("VecAVX512", "VecAVX2")),
}

#: Compiler macro -> CPU feature as the bridge names it: those that compilers and vector headers use by themselves.
FEATURE_MACROS: dict[str, str] = {
    "__SSE3__": "sse3",
    "__SSSE3__": "ssse3",
    "__SSE4_1__": "sse4_1",
    "__SSE4_2__": "sse4_2",
    "__POPCNT__": "popcnt",
    "__AVX__": "avx",
    "__F16C__": "f16c",
    "__FMA__": "fma",
    "__BMI__": "bmi1",
    "__BMI2__": "bmi2",
    "__LZCNT__": "lzcnt",
    "__MOVBE__": "movbe",
    "__AVX2__": "avx2",
    "__AVX512F__": "avx512f",
    "__AVX512CD__": "avx512cd",
    "__AVX512BW__": "avx512bw",
    "__AVX512DQ__": "avx512dq",
    "__AVX512VL__": "avx512vl",
    "__AVX512IFMA__": "avx512ifma",
    "__AVX512VBMI__": "avx512vbmi",
    "__AVX512VBMI2__": "avx512_vbmi2",
    "__AVX512VNNI__": "avx512_vnni",
    "__AVX512BITALG__": "avx512_bitalg",
    "__AVX512VPOPCNTDQ__": "avx512_vpopcntdq",
    "__AVX512BF16__": "avx512_bf16",
    "__AVX512FP16__": "avx512_fp16",
    "__GFNI__": "gfni",
    "__AVXVNNI__": "avx_vnni",
    "__AMX_TILE__": "amx_tile",
    "__AMX_BF16__": "amx_bf16",
    "__AMX_INT8__": "amx_int8",
    "__ARM_FEATURE_SVE": "sve",
    "__ARM_FEATURE_SVE2": "sve2",
    "__ARM_FEATURE_BF16_VECTOR_ARITHMETIC": "bf16",
}


@dataclass
class Compiled:
    """What AOTInductor made, still unpacked."""

    files: list[str]
    model_so: str
    #: Text of the generated C++.
    wrapper: str
    #: `cpu`, `cuda` or `rocm`.
    backend: str
    compiler: str
    cpu_features: list[str]
    gpu_archs: list[str]
    #: Constants that linear layers multiply by, and on how many rows.
    linear_rows: dict[str, int]
    #: Whether constants were folded and packed: they have lost the names and shapes that the module gave them.
    frozen: bool


def compile_program(
    program: Any, source: Path, constants: str, cpu_isa: str, folder: Path, *, changes: Sequence[str] = ()
) -> Compiled:
    """Compile to a shared library, a weights blob and their metadata, all in `folder`. Raises WorkerError.

    Args:
        source: the user's file, in whose lines a failure is told.
        constants: `frozen` or `updatable`. Code for a GPU is not frozen, nor is a module that changes its buffers.
        changes: buffers that a call changes.
    """
    compiler = _compiler()
    args, kwargs = program.example_inputs
    tensors = [*program.state_dict.values(), *program.constants.values(), *tree_leaves((args, kwargs))]
    on_cpu = all(tensor.device.type == "cpu" for tensor in tensors if isinstance(tensor, torch.Tensor))
    updatable = constants == "updatable"
    options = dict(COMMON)
    if on_cpu and not updatable:
        options |= {**PRODUCTS, **FROZEN}
    if updatable or changes:
        options |= STATE
    options.update(reproducible.options(folder))
    if cpu_isa != "native":
        options["cpp.march"] = _pin(cpu_isa)
    options = {key: value for key, value in options.items() if _known(key)}
    if all(map(_known, BLOB)):
        options.update(BLOB)
    lazy_views.compute_at_once()
    linear_rows: dict[str, int] = {}
    frozen = bool(options.get("freezing"))
    if frozen:  # which is what packs them
        options["post_grad_custom_post_pass"] = linear_weights.finder(linear_rows)
    if on_cpu:
        # Only freezing drops weights that generated code has in another order.
        matrix_products.choose_by_size(keeps_weights=not frozen)
        matrix_products.divide_large_ones_only()
        matrix_products.allow_no_rows()
        region_errors.leave_regions_first()
    try:
        with torch.no_grad(), reproducible.without_folders(folder), extern_kernels.whole_descriptions():
            files = torch._inductor.aot_compile(program.module(), args, kwargs, options=options)
    except Exception as error:
        traceback.print_exc()
        raise _compile_failure(error, compiler, program, source) from error
    extern_kernels.refuse_python(files, program, source)
    # A model without weights has an empty blob, which torch's own loader fails to map.
    paths = [file for file in files if not file.endswith(".blob") or Path(file).stat().st_size]
    for path in map(Path, paths):
        if path.suffix == ".cpp":
            path.write_text(reproducible.without_commands(path.read_text(), folder))
    metadata = next(Path(path) for path in paths if path.endswith(".wrapper_metadata.json"))
    keys = json.loads(metadata.read_text())
    backend = keys["AOTI_DEVICE_KEY"]
    if backend == "cuda" and torch.version.hip:
        backend = "rocm"
    capability = keys.get("AOTI_COMPUTE_CAPABILITY", "")
    archs = [capability if capability.startswith("gfx") else f"sm_{capability}"] if capability else []
    with config.patch({key: options[key] for key in ("cpp.march", "cpp.vec_isa_ok") if key in options}):
        features = _cpu_features()
    return Compiled(
        files=paths,
        model_so=next(path for path in paths if path.endswith(".so")),
        wrapper=next(Path(path).read_text() for path in paths if path.endswith(".wrapper.cpp")),
        backend=backend,
        compiler=_version_line(compiler),
        cpu_features=features,
        gpu_archs=archs,
        linear_rows=linear_rows,
        frozen=frozen,
    )


def _known(key: str) -> bool:
    """Whether this torch has the option: a few came after 2.9."""
    holder: Any = config
    for part in key.split("."):
        if not hasattr(holder, part):
            return False
        holder = getattr(holder, part)
    return True


def _compiler() -> str:
    name = os.environ.get("CXX", "g++")
    try:
        name = str(cpp_builder.get_cpp_compiler())
        found = shutil.which(name)
    except InvalidCxxCompiler:
        found = None
    if found is None:
        raise WorkerError(
            f"{name}: no C++ compiler on PATH",
            meaning="AOTInductor generates C++ and compiles it on this machine",
            fix="apt install g++, or set CXX to a compiler",
            kind="tool",
        )
    return found


def _version_line(compiler: str) -> str:
    done = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=False)
    return (done.stdout.splitlines() or [compiler])[0]


def _pin(cpu_isa: str) -> str:
    """Let Inductor vectorise for one instruction set only; returns the compiler's `-march`. Raises WorkerError."""
    if platform.machine() != "x86_64":
        raise WorkerError(
            f"--cpu-isa {cpu_isa}: this machine is {platform.machine()}",
            meaning="avx2 and avx512 are instruction sets of x86_64",
            fix="leave --cpu-isa out",
            kind="usage",
        )
    if not _known("cpp.march"):
        raise WorkerError(
            f"--cpu-isa {cpu_isa}: torch {torch.__version__} compiles for this machine's own CPU only",
            meaning="pinning an instruction set needs the Inductor option cpp.march of a newer torch",
            fix="aotpack init --torch 2.13.0, or leave --cpu-isa out",
            kind="torch",
        )
    isa = ISAS[cpu_isa]
    cpu_vec_isa.supported_vec_isa_list[:] = [getattr(cpu_vec_isa, name)() for name in isa.vectors]
    cpu_vec_isa.valid_vec_isa_list.cache_clear()
    # Otherwise bfloat16 instructions join where this machine has them.
    torch.cpu._is_avx512_bf16_supported = lambda: False
    return isa.march


def _cpu_features() -> list[str]:
    """What the code may use, from the compiler itself under the flags that Inductor gave it."""
    isa = cpu_vec_isa.pick_vec_isa()
    compiler = _compiler()
    flags = [f"-{flag}" for flag in cpp_builder._get_optimization_cflags(compiler)[0] if flag.startswith("march")]
    done = subprocess.run(
        [compiler, *flags, *isa.build_arch_flags().split(), "-dM", "-E", "-x", "c++", "/dev/null"],
        capture_output=True,
        text=True,
        check=True,
    )
    macros = {line.split()[1] for line in done.stdout.splitlines() if line.startswith("#define ")}
    return [feature for macro, feature in FEATURE_MACROS.items() if macro in macros]


def _compile_failure(error: Exception, compiler: str, program: Any, path: Path) -> WorkerError:
    if os.strerror(errno.ENOSPC) in str(error):
        return no_space(tempfile.gettempdir())
    if "CppCompileError" in type(error).__name__ or "CppCompileError" in str(error):
        lines = [line for line in str(error).splitlines() if "error" in line.lower()]
        return WorkerError(
            f"{Path(compiler).name} failed on the code that AOTInductor generated",
            meaning=(lines[1] if len(lines) > 1 else essence(error)).strip()[:240],
            fix="try another compiler (CXX=clang++), or report it to PyTorch with the output of -v",
            kind="tool",
            detail="\n".join(lines[:20]),
        )
    node = faults.node_of(error)
    op = f" on {faults.op_name(node)}" if node is not None else ""
    line = faults.user_line(node, program, path) if node is not None else ""
    return WorkerError(
        f"AOTInductor failed{op}: {essence(error)}",
        meaning=f"the graph was exported, but this torch cannot compile it{f', {line}' if line else ''}",
        fix="write that line with other ops; a newer torch may know how (aotpack init --torch VERSION)"
        if line
        else "run again with -v for torch's full message; a newer torch may know how (aotpack init --torch VERSION)",
    )
