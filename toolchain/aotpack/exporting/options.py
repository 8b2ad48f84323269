"""`--option KEY=VALUE`: what of Inductor's options may be set, and why others may not. Pure.

A bundle promises that it runs where there is neither Python nor a GPU's toolkit, that the same model gives the same
package, and that it computes what eager PyTorch does. Options that only change how fast that is are let through.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

from aotpack.errors import UsageError

Value = bool | int | str

#: Option -> its type, and what it does. Each changes how loops are cut, fused or ordered, and nothing else.
ALLOWED: Mapping[str, tuple[type[Value], str]] = {
    "aggressive_fusion": (bool, "fuse loops that share no data, too"),
    "allow_buffer_reuse": (bool, "let results lie where others are no longer needed"),
    "cpp.enable_floating_point_contract_flag": (str, "`off` or `fast`: let compilers join a product and a sum"),
    "cpp.enable_loop_tail_vec": (bool, "vectorise the end of a loop, too"),
    "cpp.enable_tiling_heuristics": (bool, "choose tiles by what is read and written"),
    "cpp.fallback_scatter_reduce_sum": (bool, "leave sums by index to the library"),
    "cpp.max_horizontal_fusion_size": (int, "how many independent loops are fused"),
    "cpp.min_chunk_size": (int, "elements below which a loop is not divided among threads"),
    "emulate_precision_casts": (bool, "round half precision between fused ops, as eager PyTorch does"),
    "epilogue_fusion": (bool, "fuse what follows a generated matrix product into it"),
    "inplace_buffers": (bool, "let a loop write where it reads"),
    "layout_optimization": (bool, "keep images channels-last through convolutions"),
    "loop_ordering_after_fusion": (bool, "reorder loops so that more of them fuse"),
    "max_fusion_size": (int, "how many ops a loop may hold"),
    "max_pointwise_cat_inputs": (int, "up to how many inputs a concatenation is one loop"),
    "pattern_matcher": (bool, "replace known patterns such as attention"),
    "permute_fusion": (bool, "fuse permutations into matrix products"),
    "realize_acc_reads_threshold": (int, "reads after which a result is stored"),
    "realize_opcount_threshold": (int, "ops after which a result is stored"),
    "realize_reads_threshold": (int, "readers after which a result is stored"),
    "reorder_for_locality": (bool, "compute a value close to its use"),
    "split_cat_fx_passes": (bool, "simplify splits and concatenations"),
    "split_reductions": (bool, "cut large sums in two steps"),
    "unroll_reductions_threshold": (int, "up to how many elements a sum is written out"),
}

#: Patterns of options that are refused, and what to do instead.
_REFUSED: tuple[tuple[str, str, str], ...] = (
    ("aot_inductor.*", "it decides what a package is made of, which aotpack sets so that a bundle can hold it", ""),
    ("freezing*", "whether weights are folded into the code is said by --constants", "--constants updatable"),
    ("cpp.march", "the instruction set is said by --cpu-isa", "--cpu-isa avx2"),
    ("cpp.simdlen", "the instruction set is said by --cpu-isa", "--cpu-isa avx2"),
    ("cpp.*thread*", "the number of threads is the target's business", "aotrun infer --threads N"),
    ("cpp.enable_unsafe_math_opt_flag", "results would no longer be those of eager PyTorch", ""),
    ("use_fast_math", "results would no longer be those of eager PyTorch", ""),
    ("max_autotune*", "what is fastest would be timed here, so that two exports differ; sizes decide instead", ""),
    ("*benchmark*", "what is fastest would be timed here, so that two exports differ; sizes decide instead", ""),
    ("coordinate_descent*", "what is fastest would be timed here, so that two exports differ", ""),
    ("*custom_*pass*", "a pass is code, which a text cannot name", ""),
    ("trace.*", "it writes what happens in the compiler to a folder", "TORCH_COMPILE_DEBUG=1 aotpack export -v ..."),
    ("debug*", "it writes what happens in the compiler to a folder", "TORCH_COMPILE_DEBUG=1 aotpack export -v ..."),
    ("triton.*", "code for GPUs is tuned where it is compiled, and kernels must not need Python", ""),
)


def parse_options(texts: Iterable[str]) -> dict[str, Value]:
    """`KEY=VALUE` each. Raises UsageError, for the options that are not let through with the reason."""
    options: dict[str, Value] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals:
            raise UsageError(
                f"--option {text}: has no value",
                meaning="an option of Inductor is given as KEY=VALUE",
                fix=f"--option {key}=..., see aotpack export --help",
            )
        options[key] = value
    return check_options(options)


def check_options(options: Mapping[str, object]) -> dict[str, Value]:
    """The options with values of their types. Raises UsageError."""
    return {key: _value(key, value) for key, value in options.items()}


def _value(key: str, value: object) -> Value:
    if key not in ALLOWED:
        raise _refusal(key, value)
    kind = ALLOWED[key][0]
    if kind is bool and str(value).lower() in ("1", "true", "yes", "on", "0", "false", "no", "off"):
        return str(value).lower() in ("1", "true", "yes", "on")
    if kind is int and not isinstance(value, bool) and str(value).isdecimal():
        return int(str(value))
    if kind is str and isinstance(value, str) and value:
        return value
    wanted = {bool: "true or false", int: "a whole number", str: "a text"}[kind]
    raise UsageError(
        f"--option {key}={value}: not {wanted}",
        meaning=f"{key}: {ALLOWED[key][1]}",
        fix=f"--option {key}={'true' if kind is bool else '4' if kind is int else 'off'}",
    )


def _refusal(key: str, value: object) -> UsageError:
    for pattern, meaning, fix in _REFUSED:
        if fnmatchcase(key, pattern):
            return UsageError(f"--option {key}={value}: not let through", meaning=meaning, fix=fix or "leave it out")
    close = difflib.get_close_matches(key, ALLOWED, n=1)
    return UsageError(
        f"--option {key}={value}: not known to keep a bundle's promises",
        meaning="a bundle runs without Python, is the same for the same model, and computes what eager PyTorch does",
        fix=f"did you mean {close[0]}?" if close else f"leave it out, or choose among {', '.join(ALLOWED)}",
    )
