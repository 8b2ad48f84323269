"""AOTInductor: options, instruction set, what came of it."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import tempfile
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch._inductor
from torch._inductor import config
from torch.fx.experimental.symbolic_shapes import free_unbacked_symbols
from torch.utils._pytree import tree_leaves
from torch.utils._sympy.functions import ToFloat

from ..failure import WorkerError, essence, no_space
from ..gpu import nvcc, targets
from ..graph import known_sizes, old_values, whole_sizes
from ..layers import convolution_weights, linear_weights, precision, quantised_results, quantised_weights
from ..mends import complex_indices, complex_strides, device_names, normals, shuffles, slices
from ..options import is_known
from . import (
    extern_kernels,
    faults,
    in_place,
    isas,
    lazy_views,
    matrix_products,
    pooling,
    region_errors,
    reproducible,
)

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
    #: How convolutions work, by the names of the constants that oneDNN has packed for them.
    convolutions: dict[str, dict[str, Any]]
    #: In which precision layers are computed, see `precision.describe`.
    precision: list[dict[str, Any]]
    #: Sentences about layers that run in another precision than the module asks for.
    precision_notes: list[str]
    #: Whether constants were folded and packed: they have lost the names and shapes that the module gave them.
    frozen: bool

    @property
    def blob(self) -> Path | None:
        """The file of weights; None where there is none beside the library."""
        return next((Path(file) for file in self.files if file.endswith(".blob")), None)

    @property
    def kernels(self) -> list[str]:
        """Files of code for a GPU."""
        return [file for file in self.files if file.endswith((".cubin", ".fatbin", ".hsaco"))]

    @property
    def extern_kernels(self) -> str:
        """What it says of its ops without a C shim."""
        return next((Path(file).read_text() for file in self.files if file.endswith(extern_kernels.SUFFIX)), "")


def sizes_follow_from_values(program: Any) -> bool:
    """Whether the graph has sizes that are known only once it runs: of nonzero(), of a mask."""
    values = (value for node in program.graph.nodes for value in tree_leaves(node.meta.get("val")))
    return any(free_unbacked_symbols(value) for value in values if isinstance(value, (torch.Tensor, torch.SymInt)))


def sizes_are_rounded(program: Any) -> bool:
    """Whether the graph has sizes that are real numbers on the way: those of a resampling by 1.5."""
    values = (value for node in program.graph.nodes for value in tree_leaves(node.meta.get("val")))
    sizes = (size for value in values if isinstance(value, torch.Tensor) for size in value.shape)
    return any(size.node.expr.has(ToFloat) for size in sizes if isinstance(size, torch.SymInt))


def compile_program(
    program: Any,
    source: Path,
    constants: str,
    cpu_isa: str,
    folder: Path,
    *,
    changes: Sequence[str] = (),
    shares_weights: bool = False,
    archs: Sequence[str] = (),
) -> Compiled:
    """Compile to a shared library, a weights blob and their metadata, all in `folder`. Raises WorkerError.

    Args:
        source: the user's file, in whose lines a failure is told.
        constants: `frozen` or `updatable`. Code for a GPU is not frozen, nor is a module that changes its buffers.
        cpu_isa: `native`, or one of `isas.ISAS`, which this process is then bound to.
        changes: buffers that a call changes.
        shares_weights: whether code for other instruction sets is to use the same weights.
        archs: GPUs of `targets.wanted`; this machine's own by default.
    """
    compiler = isas.compiler()
    on_cpu = is_on_cpu(program)
    updatable = constants == "updatable"
    options = dict(COMMON)
    if on_cpu and not updatable:
        options |= {**PRODUCTS, **FROZEN}
    if updatable or changes:
        options |= STATE
    if not any(isinstance(each, torch.Tensor) for each in tree_leaves(program.example_inputs)):
        # Freezing asks the inputs for the mode without values that it works in (pytorch 2.13).
        options["freezing"] = False
    if sizes_follow_from_values(program):
        # Freezing traces the graph again, and then no longer knows which of such sizes are equal (pytorch 2.13).
        options["freezing"] = False
    if sizes_are_rounded(program):
        # It would write such sizes down as ops of a graph, which cannot be done (pytorch 2.13).
        options["layout_optimization"] = False
    options.update(reproducible.options(folder))
    options |= targets.options(archs)
    if cpu_isa != isas.NATIVE:
        options["cpp.march"] = isas.pin(cpu_isa, has_int8=bool(isas.low_precision(program) - {"bfloat16"}))
    options = {key: value for key, value in options.items() if is_known(key)}
    if all(map(is_known, BLOB)):
        options.update(BLOB)
    _mend_inductor()
    linear_rows: dict[str, int] = {}
    convolutions: dict[str, dict[str, Any]] = {}
    packed: list[convolution_weights.Packed] = []
    frozen = bool(options.get("freezing"))
    layers: list[precision.Layer] = []
    options["post_grad_custom_post_pass"] = _observer(
        precision.observer(layers),
        *([linear_weights.finder(linear_rows), convolution_weights.finder(packed, convolutions)] if frozen else []),
    )
    if on_cpu:
        _prepare_for_cpu(keeps_weights=not frozen or shares_weights, changes=changes)
    try:
        with (
            torch.no_grad(),
            reproducible.without_folders(folder),
            device_names.by_hand(folder),
            reproducible.without_addresses(),
            reproducible.without_gaps(),
            reproducible.without_waiting(folder),
            extern_kernels.whole_descriptions(),
            quantised_weights.kept(),
            convolution_weights.recorded(packed),
            targets.asked(archs),
        ):
            files = torch._inductor.aot_compile(program.module(), *program.example_inputs, options=options)
    except Exception as error:
        traceback.print_exc()
        raise nvcc.failure(error, archs) or _compile_failure(error, compiler, program, source) from error
    extern_kernels.refuse_python(files, program, source)
    # A model without weights has an empty blob, which torch's own loader fails to map.
    paths = [file for file in files if not file.endswith(".blob") or Path(file).stat().st_size]
    for path in map(Path, paths):
        if path.suffix == ".cpp":
            path.write_text(reproducible.without_commands(path.read_text(), folder))
    backend, own = _device_of(paths)
    wrapper = next(Path(path).read_text() for path in paths if path.endswith(".wrapper.cpp"))
    targets.refuse_unfit(folder, wrapper, archs)
    with config.patch({key: options[key] for key in ("cpp.march", "cpp.vec_isa_ok") if key in options}):
        features = isas.cpu_features()
    return Compiled(
        files=paths,
        model_so=next(path for path in paths if path.endswith(".so")),
        wrapper=wrapper,
        backend=backend,
        compiler=_version_line(compiler),
        cpu_features=features,
        gpu_archs=list(archs) or own,
        linear_rows=linear_rows,
        convolutions=convolutions,
        precision=precision.describe(layers),
        precision_notes=[
            *precision.lost(precision.layers(program.graph), layers, frozen=frozen),
            *precision.saturating(layers),
        ],
        frozen=frozen,
    )


def _device_of(paths: Sequence[str]) -> tuple[str, list[str]]:
    """The backend of what was compiled, and this machine's GPU, if it is for one, as torch writes them down."""
    metadata = next(Path(path) for path in paths if path.endswith(".wrapper_metadata.json"))
    keys = json.loads(metadata.read_text())
    capability = keys.get("AOTI_COMPUTE_CAPABILITY", "")
    own = [capability if capability.startswith("gfx") else f"sm_{capability}"] if capability else []
    return "rocm" if keys["AOTI_DEVICE_KEY"] == "cuda" and torch.version.hip else keys["AOTI_DEVICE_KEY"], own


def _prepare_for_cpu(*, keeps_weights: bool, changes: Sequence[str]) -> None:
    """Let what is compiled from now on in this process be as we want it."""
    # Only freezing drops weights that generated code has in another order, and each instruction set has its own.
    matrix_products.patch_to_choose_by_size(keeps_weights=keeps_weights, changes=changes)
    matrix_products.patch_to_divide_large_ones_only()
    matrix_products.patch_to_allow_no_rows()
    in_place.patch_to_keep_what_lasts()
    quantised_results.patch_to_expect_channels_last()
    pooling.patch_to_generate()
    shuffles.patch_to_take_no_shortcut()
    region_errors.patch_to_leave_regions_first()
    region_errors.patch_to_look_at_every_status()


def _mend_inductor() -> None:
    """What it gets wrong on every device, from now on in this process."""
    lazy_views.patch_to_compute_at_once()
    whole_sizes.patch_to_divide_exactly()
    known_sizes.patch_to_come_first()
    slices.patch_to_have_both_ends()
    normals.patch_to_be_stretched()


def _observer(*observers: Callable[[Any], None]) -> Callable[[Any], None]:
    """The last pass: it mends outputs and indices, and shows the graph to those who look at it."""

    def look(graph: Any) -> None:
        old_values.keep(graph)
        complex_strides.leave(graph)
        complex_indices.lie_in_order(graph)
        for observe in observers:
            observe(graph)

    return look


def is_on_cpu(program: Any) -> bool:
    """Whether all of an exported program's tensors are the CPU's."""
    tensors = [*program.state_dict.values(), *program.constants.values(), *tree_leaves(program.example_inputs)]
    return all(tensor.device.type == "cpu" for tensor in tensors if isinstance(tensor, torch.Tensor))


def _version_line(compiler: str) -> str:
    done = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=False)
    return (done.stdout.splitlines() or [compiler])[0]


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
