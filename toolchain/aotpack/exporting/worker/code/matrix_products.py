"""What multiplies matrices in a model for the CPU: code that Inductor generates, or the library.

Inductor would time both and take the faster. On a busy machine that is a lottery, whose losers bring a library of 46 MB
into the bundle of a small model; so the size of a product decides, and the same model always gives the same package.

Measured with float32 on AVX2 (us, generated code and oneDNN, which a call of the library adds some 3 us to): one row
times 384 x 384 9.4 and 11.1, 1 x 768 x 768 39 and 46; 8 x 64 x 256 5.0 and 4.4, 32 x 64 x 64 5.2 and 4.0;
8 x 256 x 256 18 and 14, 32 x 256 x 256 69 and 50, 128 x 384 x 384 575 and 433. A single row is bound by memory, which
both read once; else the library's head start is used up at about a quarter of a million multiplications.

Products of bytes whose activations are quantised at run time have a scale of float64 (PT2E), with which generated code
computes in float64, and writes that behind the end of its result of float32 (pytorch 2.13): these are the library's.

Where generated code has no instructions for a product (vectors; VNNI or AMX for bytes) it is a loop that is there to be
compared with: three layers of bytes, 8 x 64 x 256 and less, took 200 us, 10 with VNNI and 17 by the library.

Generated products that are small when they run, or have but one thread, stay in the thread that calls: what OpenMP
takes to bring threads together, two system calls a product even where there is but one, is more than a second thread
saves. Measured with a model of 8 x 64 x 256 and 8 x 256 x 10, undivided and divided (us): 12.4 and 16.2 with one
thread, 12.6 and 14.0 with two.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from typing import Any

import torch
from torch._inductor import select_algorithm
from torch._inductor.codegen import cpp_gemm_template
from torch._inductor.codegen.cpp_utils import GemmBlocking
from torch._inductor.ir import ChoiceCaller
from torch._inductor.virtualized import V

#: Up to so many multiplications are generated code.
MOST_GENERATED = 1 << 18
#: Up to so many are not worth a second thread.
MOST_UNDIVIDED = 1 << 18
#: What only Inductor's loop without any instructions multiplies at a time.
_ONE_BY_ONE = GemmBlocking(1, 1, 1)

#: Inductor's parallel region in the text that a product is generated from: its first line, and its end.
_BEGIN = "    #pragma omp parallel\n    {%- else %}"
_END = "        {{ micro_gemm.codegen_finalize(kernel) }}\n    }\n{%- else %}"
#: What takes their place: a function for whoever runs it. Work shared by `omp for` is all done by a lone caller; one
#: that is in a parallel region of its own would share it with strangers, and so gets a region as well.
_BEGIN_OF_FUNCTION = "    const auto multiply = [&]\n    {%- else %}"
_END_OF_FUNCTION = f"""        {{{{ micro_gemm.codegen_finalize(kernel) }}}}
    }}
{{%- if use_dynamic_threads %}};
    if (!omp_in_parallel() && (omp_get_max_threads() == 1 || M * N * K <= {MOST_UNDIVIDED})) {{
        multiply();
    }} else {{
        #pragma omp parallel
        multiply();
    }}
{{%- endif %}}
{{%- else %}}"""

#: How Inductor's text begins that reads the rows of a product at run time; it then divides by what these come to.
_DYNAMIC_ROWS = """    const int64_t M = {{kernel.size(GemmOut, 0)}};
    const int64_t Mr_blocks = (M + Mr - 1) / Mr;
"""
_NO_ROWS = """    if (M == 0) return;  // nothing to compute
"""


def is_generated(rows: int, columns: int, depth: int, *, keeps_weights: bool) -> bool:
    """Whether generated code is to multiply rows x depth by depth x columns.

    It reads the weights in an order of its own. Where the package keeps them as they were as well (`keeps_weights`), a
    single row is no reason to store large ones twice.
    """
    return rows * columns * depth <= MOST_GENERATED or (rows == 1 and not keeps_weights)


def patch_to_choose_by_size(*, keeps_weights: bool, changes: Sequence[str] = ()) -> None:
    """Let no clock decide between generated code and the library from now on in this process.

    Args:
        keeps_weights: see `is_generated`.
        changes: buffers that a call changes. Of a constant that it multiplies by, generated code has a copy in an order
            of its own, made at export, which would stay as it was (pytorch 2.13).
    """
    choose = functools.partial(_choose, keeps_weights=keeps_weights, changes=changes)
    select_algorithm.add_preprocessing_fn(choose)


def patch_to_divide_large_ones_only() -> None:
    """Let generated products use several threads only where that pays, from now on in this process.

    A torch whose text for products is another one (2.9) divides them as it did.
    """
    text = cpp_gemm_template.GEMM_TEMPLATE
    if text.count(_BEGIN) == text.count(_END) == 1:
        text = text.replace(_BEGIN, _BEGIN_OF_FUNCTION).replace(_END, _END_OF_FUNCTION)
        cpp_gemm_template.GEMM_TEMPLATE = text


def patch_to_allow_no_rows() -> None:
    """Let generated products of no rows end at once, from now on in this process: Inductor's divide by zero."""
    name = "GEMM_TEMPLATE_INIT_BLOCKING_BASIC_BLOCK"
    text = getattr(cpp_gemm_template, name, "")
    if text.count(_DYNAMIC_ROWS) == 1 and _NO_ROWS not in text:
        setattr(cpp_gemm_template, name, text.replace(_DYNAMIC_ROWS, _DYNAMIC_ROWS + _NO_ROWS))


def _choose(choices: list[ChoiceCaller], *, keeps_weights: bool, changes: Sequence[str]) -> list[ChoiceCaller]:
    library = [choice for choice in choices if isinstance(choice, select_algorithm.ExternKernelCaller)]
    generated = [choice for choice in choices if choice not in library]
    if not generated or not library:
        return choices
    template: Any = generated[0].template
    if template.register_blocking == _ONE_BY_ONE or any(
        node.get_dtype() == torch.float64 for node in template.input_nodes
    ):
        return library
    if any(is_changed(node.get_name(), changes) for node in template.input_nodes):
        return library
    rows, columns, depth = map(_likely, (template.m, template.n, template.k))
    return generated[:1] if is_generated(rows, columns, depth, keeps_weights=keeps_weights) else library


def is_changed(name: str, changes: Sequence[str]) -> bool:
    """Whether Inductor's constant of this name may be one of the buffers that a call changes: its own names end in the
    module's, with underscores for what is no letter or number."""
    if not changes or name not in V.graph.constants:
        return False
    own = _plain(getattr(V.graph, "allocated_constant_name", {}).get(name, name))
    return any(own.endswith(_plain(buffer)) for buffer in changes)


def _plain(name: str) -> str:
    return re.sub(r"\W", "_", name)


def _likely(size: Any) -> int:
    """A size, or what the example inputs had where it is dynamic."""
    # size_hint in older torch.
    hint = getattr(V.graph.sizevars, "optimization_hint", None) or V.graph.sizevars.size_hint
    return int(hint(size))
