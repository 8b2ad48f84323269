"""The programs of bridge/tests, compiled under sanitizers and kept in the cache as the bridge is."""

from __future__ import annotations

from pathlib import Path

from aotpack.backend import Backend
from aotpack.environment.torch import TorchInfo
from aotpack.native.bridge import compile_bridge

TESTS = ("bridge_tests", "bridge_threads", "bridge_failures")
FUZZER = "bridge_fuzz"


def build_tests(torch: TorchInfo, sanitize: str) -> dict[str, Path]:
    """The programs by their names in `TESTS`. `sanitize`: value of the compiler's `-fsanitize=`."""
    return dict(zip(TESTS, _compile(torch, TESTS, AOT_SANITIZE=sanitize), strict=True))


def build_fuzzer(torch: TorchInfo) -> Path:
    """The fuzzer, under AddressSanitizer and UndefinedBehaviorSanitizer."""
    return _compile(torch, (FUZZER,), AOT_FUZZ="ON", AOT_SANITIZE="address,undefined")[0]


def _compile(torch: TorchInfo, programs: tuple[str, ...], **options: str) -> tuple[Path, ...]:
    definitions = {"CMAKE_BUILD_TYPE": "Debug", "AOT_TESTS": "ON", **options}
    return compile_bridge(torch, Backend.CPU, definitions, {name: name for name in programs}, tests=True)
