"""The programs of bridge/tests, compiled under sanitizers and kept in the cache as the bridge is."""

from __future__ import annotations

from pathlib import Path

from aotpack.backend import Backend
from aotpack.environment.torch import TorchInfo
from aotpack.native.bridge import compile_bridge

#: Value of the compiler's `-fsanitize=` -> the programs that are run so.
TESTS = {"address,undefined": ("bridge_tests", "bridge_failures"), "thread": ("bridge_threads",)}
FUZZER = "bridge_fuzz"


def build_tests(torch: TorchInfo, sanitize: str) -> dict[str, Path]:
    """The programs of `TESTS` by their names."""
    names = TESTS[sanitize]
    return dict(zip(names, _compile(torch, names, AOT_SANITIZE=sanitize), strict=True))


def build_fuzzer(torch: TorchInfo) -> Path:
    """The fuzzer, under AddressSanitizer and UndefinedBehaviorSanitizer."""
    return _compile(torch, (FUZZER,), AOT_FUZZ="ON", AOT_SANITIZE="address,undefined")[0]


def _compile(torch: TorchInfo, programs: tuple[str, ...], **options: str) -> tuple[Path, ...]:
    definitions = {"CMAKE_BUILD_TYPE": "Debug", "AOT_TESTS": "ON", **options}
    return compile_bridge(torch, Backend.CPU, definitions, {name: name for name in programs}, tests=True)
