"""What multiplies matrices in a model for the CPU: code that Inductor generates, or the library.

Inductor would time both and take the faster. On a busy machine that is a lottery, whose losers bring a library of 46 MB
into the bundle of a small model; so the size of a product decides, and the same model always gives the same package.

Measured with float32 on AVX2 (us, generated code and oneDNN, which a call of the library adds some 3 us to): one row
times 384 x 384 9.4 and 11.1, 1 x 768 x 768 39 and 46; 8 x 64 x 256 5.0 and 4.4, 32 x 64 x 64 5.2 and 4.0;
8 x 256 x 256 18 and 14, 32 x 256 x 256 69 and 50, 128 x 384 x 384 575 and 433. A single row is bound by memory, which
both read once; else the library's head start is used up at about a quarter of a million multiplications.

Small products also stay in the thread that calls: what OpenMP takes to bring threads together, two system calls even
where there is but one, is more than a second thread saves. The call of a model of 8 x 64 x 256 and 8 x 256 x 10 takes
12.4 us instead of 16.2 with one thread and 12.6 instead of 14.0 with two. And the package is the same whatever number
of cores it was made on, which is the number of parts that Inductor would divide a product into.
"""

from __future__ import annotations

import functools
import inspect
from contextlib import nullcontext
from typing import Any

from torch._inductor import config, select_algorithm
from torch._inductor.codegen.cpp_gemm_template import CppGemmTemplate
from torch._inductor.ir import ChoiceCaller
from torch._inductor.virtualized import V

#: Up to so many multiplications are generated code.
MOST_GENERATED = 1 << 18


def is_generated(rows: int, columns: int, depth: int, *, keeps_weights: bool) -> bool:
    """Whether generated code is to multiply rows x depth by depth x columns.

    It reads the weights in an order of its own. Where the package keeps them as they were as well (`keeps_weights`), a
    single row is no reason to store large ones twice.
    """
    return rows * columns * depth <= MOST_GENERATED or (rows == 1 and not keeps_weights)


def choose_by_size(*, keeps_weights: bool) -> None:
    """Let no clock decide between generated code and the library from now on in this process."""
    select_algorithm.add_preprocessing_fn(functools.partial(_choose, keeps_weights=keeps_weights))


def _choose(choices: list[ChoiceCaller], *, keeps_weights: bool) -> list[ChoiceCaller]:
    library = [choice for choice in choices if isinstance(choice, select_algorithm.ExternKernelCaller)]
    generated = [choice for choice in choices if choice not in library]
    if not generated or not library:
        return choices
    template: Any = generated[0].template
    rows, columns, depth = map(_likely, (template.m, template.n, template.k))
    return generated[:1] if is_generated(rows, columns, depth, keeps_weights=keeps_weights) else library


def keep_small_ones_in_one_thread() -> None:
    """Let no small product be divided among threads from now on in this process."""
    offer: Any = CppGemmTemplate.add_choices.__func__
    signature = inspect.signature(offer)

    @functools.wraps(offer)
    def offer_by_size(*args: Any, **kwargs: Any) -> Any:
        given = signature.bind(*args, **kwargs)
        given.apply_defaults()
        # Before Inductor chooses how to divide the product, since the order of the weights follows from it.
        with config.patch({"cpp.threads": 1}) if _is_small(given.arguments) else nullcontext():
            return offer(*args, **kwargs)

    CppGemmTemplate.add_choices = classmethod(offer_by_size)


def _is_small(offered: dict[str, Any]) -> bool:
    """Whether a product is small that is offered to `CppGemmTemplate.add_choices`; batches of products are not."""
    nodes = offered["input_nodes"]
    indices = offered["input_indices"] or range(len(nodes))
    left = nodes[indices[1 if offered["has_bias"] else 0]].get_size()  # the bias comes first
    sizes = offered["layout"].size
    if len(sizes) != 2:
        return False
    rows, columns, depth = map(_likely, (*sizes, left[-1]))
    return rows * columns * depth <= MOST_GENERATED


def _likely(size: Any) -> int:
    """A size, or what the example inputs had where it is dynamic."""
    # size_hint in older torch.
    hint = getattr(V.graph.sizevars, "optimization_hint", None) or V.graph.sizevars.size_hint
    return int(hint(size))
