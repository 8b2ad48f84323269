"""Errors of generated code that would not arrive: an index out of range, or an assertion.

Generated code throws where it finds one. OpenMP lets no exception leave a region, so with libtorch that ends the
process of whoever loaded the model. Here each thread keeps what was thrown in its part of the work and goes on behind
it, to where the others wait; the function throws the first of them when all is done.

And of two kinds of calls, scatter and index_put, generated code does not look at the status, and goes on with what
these have not written. Here it does. What is changed is text.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

#: What throws. Blocks without one are left as they are: the compiler makes vectors of their loops.
_CHECK = "AOTI_TORCH_CHECK("
_KERNEL = re.compile(r'extern "C"[^({;]*\(')
_REGION = re.compile(r"#pragma omp parallel\b")
#: Where threads wait for one another or share work, and loops that nothing may be thrown out of (`simd`): a block that
#: has one inside must not be left early.
_TOGETHER = re.compile(r"#pragma omp ")
#: What stands before the body of a loop whose inner loops are shared as well, which must stay nested perfectly.
_COLLAPSED = re.compile(r"#pragma omp for\b.*\bcollapse\((\d+)\).*\n\s*for\s*\([^{}]*\)\s*$")
#: A statement that is a call of torch's C shim.
_CALL = re.compile(r"\s*aoti_torch_\w+\(.*\);\s*", re.DOTALL)
_FUNCTION = re.compile(r"\]\s*(\([^(){}]*\))?[^;{}()]*$")

_BEFORE = "\nstd::atomic<bool> region_failed{false};\nstd::exception_ptr region_error;"
_TRY = "\ntry {"
_CATCH = "} catch (...) {\nif (!region_failed.exchange(true)) region_error = std::current_exception();\n}\n"
_AFTER = "if (region_failed) std::rethrow_exception(region_error);\n"


def patch_to_leave_regions_first() -> None:
    """Let kernels that are generated from now on in this process throw outside of their regions."""
    from torch._inductor.codegen.cpp import CppScheduling

    original: Callable[..., Any] = CppScheduling.define_kernel

    def define_kernel(self: Any, src_code: str, *args: Any, **kwargs: Any) -> Any:
        return original(self, thrown_outside(src_code), *args, **kwargs)

    CppScheduling.define_kernel = define_kernel


def patch_to_look_at_every_status() -> None:
    """Let calls of scatter and index_put that are generated from now on in this process throw when they fail."""
    from torch._inductor.codegen.cpp_wrapper_cpu import CppWrapperCpu

    for name in ("_generate_scatter_fallback", "_generate_index_put_fallback"):
        if hasattr(CppWrapperCpu, name):
            setattr(CppWrapperCpu, name, _checked(getattr(CppWrapperCpu, name)))


def _checked(original: Callable[..., Any]) -> Callable[..., Any]:
    """The method of a wrapper, whose lines it writes with their status looked at."""

    def generate(self: Any, *args: Any, **kwargs: Any) -> Any:
        writeline = self.writeline
        self.writeline = lambda line: writeline(checked_call(line))
        try:
            return original(self, *args, **kwargs)
        finally:
            self.writeline = writeline  # the wrapper sets it itself, to where its lines go at the time

    return generate


def checked_call(line: Any) -> Any:
    """A line that is a call of torch's C shim and nothing else, with its status looked at; any other as it is."""
    if isinstance(line, str) and _CALL.fullmatch(line):
        return f"AOTI_TORCH_ERROR_CODE_CHECK({line.rstrip().removesuffix(';')});"
    return line


def thrown_outside(source: str) -> str:
    """The source of a kernel whose errors leave its parallel regions first. What is not understood stays as it is."""
    kernels = list(_KERNEL.finditer(source))
    if not kernels:
        return source
    begin = source.find("{", _closing(source, kernels[-1].end() - 1))
    end = _closing(source, begin)
    if end < 0 or not _REGION.search(source, begin, end):
        return source
    body = source[begin + 1 : end]
    caught = _caught(body, 0)
    if caught == body:
        return source
    return f"{source[: begin + 1]}{_BEFORE}{caught}{_AFTER}{source[end:]}"


def _caught(text: str, collapsed: int) -> str:
    """The inside of a block, in which the largest blocks that check, and in which nobody waits, catch what they throw.

    Args:
        collapsed: how many loops that begin here are shared with the one around them.
    """
    done, rest = "", text
    while (begin := rest.find("{")) >= 0 and (end := _closing(rest, begin)) >= 0:
        before, inside = rest[:begin], rest[begin + 1 : end]
        if _CHECK in inside and not _FUNCTION.search(before.rpartition("\n\n")[2]):
            shared = _COLLAPSED.search(before)
            deeper = int(shared[1]) - 1 if shared else max(collapsed - 1, 0)
            is_whole = deeper == 0 and not _TOGETHER.search(inside)
            inside = f"{_TRY}{inside}{_CATCH}" if is_whole else _caught(inside, deeper)
        elif _CHECK in inside and _TOGETHER.search(inside):
            inside = _caught(inside, 0)
        done += f"{before}{{{inside}}}"
        rest = rest[end + 1 :]
    return done + rest


def _closing(text: str, place: int) -> int:
    """Where the bracket at `place` is closed, or -1. Generated code has brackets in no strings of one kind alone."""
    if place < 0:
        return -1
    opening, closing = text[place], {"{": "}", "(": ")"}[text[place]]
    depth = 0
    for found in re.compile(rf"[{opening}{closing}]").finditer(text, place):
        depth += 1 if found[0] == opening else -1
        if depth == 0:
            return found.start()
    return -1
