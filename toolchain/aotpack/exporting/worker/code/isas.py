"""The x86 instruction sets that code may be pinned to, and what a compiler may then use."""

from __future__ import annotations

import math
import os
import platform
import shutil
import subprocess
from dataclasses import dataclass
from typing import Any

import torch
from torch._inductor import cpp_builder, cpu_vec_isa
from torch._inductor.exc import InvalidCxxCompiler

from ..failure import WorkerError
from ..options import is_known
from . import matrix_products

#: `--cpu-isa`: this machine's CPU.
NATIVE = "native"
#: `--cpu-isa`: several variants, for every CPU.
PORTABLE = "portable"


@dataclass(frozen=True)
class Isa:
    """A pinned x86 instruction set."""

    #: For the compiler: the oldest processor that has it, a name that also compilers before gcc 11 know.
    march: str
    #: What Inductor vectorises for: a class of torch._inductor.cpu_vec_isa; None: it leaves that to the compiler.
    vectors: str | None
    #: Whether bfloat16 instructions of AVX-512 are there too.
    has_bfloat16: bool = False


#: By name, the least demanding first. x86-64-v2, v3 and v4, and what Sapphire Rapids brought.
ISAS: dict[str, Isa] = {
    "baseline": Isa("nehalem", None),
    "avx2": Isa("haswell", "VecAVX2"),
    "avx512": Isa("skylake-avx512", "VecAVX512"),
    "amx": Isa("sapphirerapids", "VecAMX", has_bfloat16=True),
}
#: With VNNI, for models that multiply int8.
_VNNI = Isa("cascadelake", "VecAVX512VNNI")
#: Ops of linear layers, by the end of their names.
_PRODUCTS = ("linear", "mm", "bmm", "addmm", "baddbmm", "matmul")

#: Where PT2E makes floats of bytes: activations by a scale that is known at export, and weights.
_DEQUANTISED = "quantized_decomposed.dequantize_per_tensor.default"
_DEQUANTISED_WEIGHT = "quantized_decomposed.dequantize_per_"

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


def chosen(cpu_isa: str, program: Any, *, on_cpu: bool) -> tuple[list[str], str]:
    """The variants that `--cpu-isa` stands for, the least demanding first, and a sentence about it or nothing.

    Raises WorkerError where what was asked for cannot be had.
    """
    if cpu_isa == NATIVE:
        return [NATIVE], ""
    if cpu_isa != PORTABLE:
        names = cpu_isa.split(",")
        _refuse_unpinnable(cpu_isa)
        return [name for name in ISAS if name in names], ""
    if platform.machine() != "x86_64":
        return [NATIVE], ""
    if not is_known("cpp.march"):
        return [NATIVE], f"torch {torch.__version__} compiles for this machine's CPU alone; older ones cannot run it"
    if not on_cpu:
        return ["baseline"], ""
    return [name for name in ISAS if name != "amx" or low_precision(program)], ""


def int4_order(program: Any) -> str | None:
    """Whose order weights of four bits lie in: torch writes them down as its kernel of this machine's CPU reads them.

    None where there are none.
    """
    op = "_weight_int4pack_mm_for_cpu"
    if not any(node.op == "call_function" and op in str(node.target) for node in program.graph.nodes):
        return None
    return str(torch.backends.cpu.get_cpu_capability())


def bound_to_one(order: str | None) -> str:
    """A sentence on which CPUs read weights of four bits that lie in an order; nothing where there are none."""
    if order is None:
        return ""
    if order == "AVX512":
        return (
            "its weights of four bits are in torch's order for AVX-512: the slim runtime reads that on every CPU, the "
            "full one on those with AVX-512 alone, and refuses the model on others"
        )
    return (
        f"its weights of four bits are in torch's order for {order}: the full runtime reads that on such CPUs alone, "
        "and refuses the model on others, as the slim runtime does on all; quantise and export on one with AVX-512"
    )


def low_precision(program: Any) -> set[str]:
    """Those of bfloat16 and int8 in which the graph's linear layers multiply, as torch calls them.

    Of PT2E's layers, whose graph multiplies floats that were bytes, those alone that become generated code.
    """
    found = set()
    for node in program.graph.nodes:
        if node.op != "call_function" or not _is_product(str(node.target)):
            continue
        for argument in node.all_input_nodes:
            dtype = getattr(argument.meta.get("val"), "dtype", None)
            if dtype in (torch.bfloat16, torch.int8, torch.uint8):
                found.add(str(dtype).removeprefix("torch."))
        if _is_generated_of_bytes(node):
            found.add("int8")
    return found


def _is_generated_of_bytes(node: Any) -> bool:
    """Whether a linear layer multiplies what PT2E has quantised, by a scale that is known, and is small.

    Larger ones are functions of the runtime, which takes what a CPU has by itself.
    """
    targets = [str(getattr(argument, "target", "")) for argument in node.args[:2]]
    if len(targets) < 2 or targets[0] != _DEQUANTISED or not targets[1].startswith(_DEQUANTISED_WEIGHT):
        return False
    values, weight = (argument.meta["val"] for argument in node.args[:2])
    if weight.dim() != 2:
        return False
    *rows, depth = map(_likely, values.shape)
    columns = _likely(node.meta["val"].shape[-1])
    return matrix_products.is_generated(math.prod(rows), columns, depth, keeps_weights=True)


def _likely(size: Any) -> int:
    """A size, or what the example inputs had where it is dynamic; too many where it follows from values."""
    if not isinstance(size, torch.SymInt):
        return int(size)
    hint = size.node.hint
    return matrix_products.MOST_GENERATED + 1 if hint is None else int(hint)


def _is_product(target: str) -> bool:
    """`aten.addmm.default`, `aten._int_mm.default`, `onednn.qlinear_pointwise.tensor`."""
    name = target.split(".")[1] if "." in target else target
    return name.endswith(_PRODUCTS) or "qlinear" in name


def pin(name: str, *, has_int8: bool) -> str:
    """Let Inductor vectorise for one instruction set only, from now on in this process; returns `-march`.

    It need not be one that this machine has. Raises WorkerError.
    """
    _refuse_unpinnable(name)
    isa = _VNNI if name == "avx512" and has_int8 else ISAS[name]
    vectors = []
    if isa.vectors is not None:
        vector = getattr(cpu_vec_isa, isa.vectors)()
        # Otherwise they join where this machine has them. Functions of the class keep what they found out first.
        vector._is_avx512_bf16_supported = isa.has_bfloat16
        vectors.append(vector)
    # Inductor's own list is what this machine can run.
    cpu_vec_isa.valid_vec_isa_list = lambda: vectors
    torch.cpu._is_avx512_bf16_supported = lambda: isa.has_bfloat16
    # Came after Sapphire Rapids: products of float16 would be libtorch's own functions.
    torch.cpu._is_amx_fp16_supported = lambda: False
    # What the user's ATEN_CPU_CAPABILITY says is about this machine too.
    cpu_vec_isa.get_isa_from_cpu_capability = lambda capability, offered, invalid: offered[0]
    return isa.march


def _refuse_unpinnable(cpu_isa: str) -> None:
    if platform.machine() != "x86_64":
        raise WorkerError(
            f"--cpu-isa {cpu_isa}: this machine is {platform.machine()}",
            meaning=f"{', '.join(ISAS)} are instruction sets of x86_64",
            fix="leave --cpu-isa out",
            kind="usage",
        )
    if not is_known("cpp.march"):
        raise WorkerError(
            f"--cpu-isa {cpu_isa}: torch {torch.__version__} compiles for this machine's own CPU only",
            meaning="pinning an instruction set needs the Inductor option cpp.march of a newer torch",
            fix="aotpack init --torch 2.13.0, or leave --cpu-isa out",
            kind="torch",
        )


def cpu_features() -> list[str]:
    """What the code may use, from the compiler itself under the flags that Inductor gave it."""
    isa = cpu_vec_isa.pick_vec_isa()
    flags = [f"-{flag}" for flag in cpp_builder._get_optimization_cflags(compiler())[0] if flag.startswith("march")]
    done = subprocess.run(
        [compiler(), *flags, *isa.build_arch_flags().split(), "-dM", "-E", "-x", "c++", "/dev/null"],
        capture_output=True,
        text=True,
        check=True,
    )
    macros = {line.split()[1] for line in done.stdout.splitlines() if line.startswith("#define ")}
    return [feature for macro, feature in FEATURE_MACROS.items() if macro in macros]


def compiler() -> str:
    """The C++ compiler that Inductor calls. Raises WorkerError where there is none."""
    name = os.environ.get("CXX", "g++")
    try:
        name = str(cpp_builder.get_cpp_compiler())
        found = shutil.which(name)
    except InvalidCxxCompiler:
        found = None
    if found is None:
        what, fix = f"{name}: no C++ compiler on PATH", "sudo apt-get install g++, or set CXX to a compiler"
        if len(name.split()) > 1:  # which a build takes
            what = f"CXX={name}: PyTorch takes a single program, without a launcher or flags"
            fix = f'set CXX to a script of the name g++ that says: exec {name} "$@"'
        meaning = "AOTInductor generates C++ and compiles it on this machine"
        raise WorkerError(what, meaning=meaning, fix=fix, kind="tool")
    return found
