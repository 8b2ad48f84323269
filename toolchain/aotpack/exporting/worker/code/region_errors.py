"""Errors of generated loops that several threads share: an index out of range, or an assertion.

Generated code throws where it finds one. OpenMP lets no exception leave a region, so with libtorch that ends the
process of whoever loaded the model. Here each thread keeps what was thrown in its part of a loop, and the thread that
began the region throws the first of them once all have left it. Nothing of torch is imported: what is changed is text.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

#: What throws. Loops without one are left as they are: the compiler makes vectors of those.
_CHECK = "AOTI_TORCH_CHECK("
_REGION = re.compile(r"^[ \t]*#pragma omp parallel\b(?! for).*$", re.MULTILINE)
_SHARED = re.compile(r"^[ \t]*#pragma omp (?:for\b(?:.*collapse\((\d+)\))?|single\b).*$", re.MULTILINE)

_BEFORE = "std::atomic<bool> region_failed{false};\nstd::exception_ptr region_error;\n"
_TRY = "\ntry {"
_CATCH = "} catch (...) {\nif (!region_failed.exchange(true)) region_error = std::current_exception();\n}\n"
_AFTER = "\nif (region_failed) std::rethrow_exception(region_error);"


def leave_regions_first() -> None:
    """Let kernels that are generated from now on in this process throw outside of their regions."""
    from torch._inductor.codegen.cpp import CppScheduling

    original: Callable[..., Any] = CppScheduling.define_kernel

    def define_kernel(self: Any, src_code: str, *args: Any, **kwargs: Any) -> Any:
        return original(self, thrown_outside(src_code), *args, **kwargs)

    CppScheduling.define_kernel = define_kernel


def thrown_outside(source: str) -> str:
    """The source of a kernel whose errors leave its parallel regions first. What is not understood stays as it is."""
    done, rest = "", source
    while found := _REGION.search(rest):
        begin = rest.find("{", found.end())
        end = _closing(rest, begin)
        if begin < 0 or end < 0:
            break
        region = rest[begin : end + 1]
        caught = _caught(region) if _CHECK in region else region
        if caught != region:
            done += f"{rest[: found.start()]}{{\n{_BEFORE}{rest[found.start() : begin]}{caught}{_AFTER}\n}}"
        else:
            done += rest[: end + 1]
        rest = rest[end + 1 :]
    return done + rest


def _caught(region: str) -> str:
    """The region, with what is thrown in a shared loop kept there."""
    done, rest = "", region
    while found := _SHARED.search(rest):
        loops = 0 if "single" in found[0] else int(found[1] or 1)
        begin = _body(rest, found.end(), loops)
        end = _closing(rest, begin)
        if begin < 0 or end < 0:
            break
        body = rest[begin + 1 : end]
        body = f"{_TRY}{body}{_CATCH}" if _CHECK in body else body
        done += rest[: begin + 1] + body + "}"
        rest = rest[end + 1 :]
    return done + rest


def _body(text: str, place: int, loops: int) -> int:
    """Where the braces open that `loops` perfectly nested loops at `place` have around what they do; -1 if nowhere."""
    for _ in range(loops):
        loop = re.compile(r"\s*\{?\s*for\s*\(").match(text, place)
        if loop is None:
            return -1
        place = _closing(text, loop.end() - 1) + 1
        if place == 0:
            return -1
    opening = re.compile(r"\s*\{").match(text, place)
    return opening.end() - 1 if opening else -1


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
