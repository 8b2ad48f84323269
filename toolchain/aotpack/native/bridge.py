"""Compiling bridge/: libaot_bridge.so, and libaot_proxy.so for models that need libtorch's proxy executor.

The result is cached by everything that goes into it: sources, options, compiler and torch's headers. What comes out
names no place of this machine: libraries look beside themselves, and staging sets another search path where needed.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from aotpack import resources
from aotpack.backend import Backend
from aotpack.environment.torch import SHIM_HEADER, TorchInfo
from aotpack.tools.cache import cached_folder, content_key
from aotpack.tools.cmake import build_targets
from aotpack.tools.compilers import find_compiler

BRIDGE = "libaot_bridge.so"
PROXY = "libaot_proxy.so"
TESTS = ("bridge_tests", "bridge_threads", "bridge_failures")
FUZZER = "bridge_fuzz"

#: Where the libraries look for the runtime, and for libstdc++ in a bundle that brings its own.
RUNPATH = ("$ORIGIN", "$ORIGIN/gcc")


def build_bridge(
    torch: TorchInfo,
    backend: Backend,
    *,
    debug: bool = False,
    proxy: bool = False,
    runpath: Sequence[str] = RUNPATH,
) -> tuple[Path, ...]:
    """Compile the bridge, or find it in the cache.

    Args:
        torch: its headers are compiled against; the proxy is linked to its libraries.
        backend: what the bridge serves beside the CPU.
        debug: unoptimised, with symbols.
        proxy: build libaot_proxy.so as well.
        runpath: where the libraries look for the runtime.

    Returns:
        Paths of libaot_bridge.so and, if asked for, libaot_proxy.so.

    Raises:
        BuildToolError: compiler, CMake or Ninja is missing or fails.
        TorchMismatchError: torch's headers are not installed.
    """
    definitions = {"CMAKE_BUILD_TYPE": "Debug" if debug else "Release", "AOT_RUNPATH": ";".join(runpath)}
    products = {"aot_bridge": BRIDGE} | ({"aot_proxy": PROXY} if proxy else {})
    return _built(torch, backend, definitions, products)


def build_sanitized_tests(torch: TorchInfo, sanitize: str) -> dict[str, Path]:
    """Compile bridge/tests for tests of aotpack itself.

    Args:
        torch: as for `build_bridge`.
        sanitize: value of the compiler's `-fsanitize=`.

    Returns:
        Paths of the programs, by their names in `TESTS`.

    Raises:
        BuildToolError: as `build_bridge`.
    """
    definitions = {"CMAKE_BUILD_TYPE": "Debug", "AOT_TESTS": "ON", "AOT_SANITIZE": sanitize}
    return dict(zip(TESTS, _built(torch, Backend.CPU, definitions, {name: name for name in TESTS}), strict=True))


def build_fuzzer(torch: TorchInfo) -> Path:
    """Compile the fuzzer of bridge/tests, under AddressSanitizer and UndefinedBehaviorSanitizer; its path.

    Raises:
        BuildToolError: as `build_bridge`.
    """
    definitions = {"CMAKE_BUILD_TYPE": "Debug", "AOT_TESTS": "ON", "AOT_FUZZ": "ON"}
    options = {**definitions, "AOT_SANITIZE": "address,undefined"}
    return _built(torch, Backend.CPU, options, {FUZZER: FUZZER})[0]


def _built(
    torch: TorchInfo, backend: Backend, options: Mapping[str, str], products: Mapping[str, str]
) -> tuple[Path, ...]:
    """Files of bridge/CMakeLists.txt under some options; `products` are its targets with the files they make."""
    # It stands for all of torch's headers, beside their version: a change in it may change the proxy and the tests.
    shim = torch.shim_include("the bridge") / SHIM_HEADER
    definitions = {
        **options,
        # Real paths: what is reached by two is compiled once.
        "AOT_TORCH_INCLUDE": ";".join(str(folder.resolve()) for folder in torch.include_dirs),
        "AOT_CXX11_ABI": "1" if torch.cxx11_abi else "0",
    }
    if "aot_proxy" in products:  # the bridge itself is linked to nothing of torch's
        definitions["AOT_TORCH_LIB"] = str(torch.lib_dirs[0])
    if backend is not Backend.CPU:  # the functions of its runtime are declared in our own sources
        definitions["AOT_GPU"] = str(backend)
    compiler = find_compiler("c++")
    parts = [compiler.identity, *compiler.command, torch.version, *products]
    parts += [f"{name}={value}" for name, value in definitions.items()]
    key = content_key([*parts, shim.read_bytes(), *_sources(with_tests=not {*TESTS, FUZZER}.isdisjoint(products))])

    def compile_them(folder: Path) -> None:
        build_targets(resources.BRIDGE, folder / "build", compiler, definitions, products)
        for name in products.values():
            (folder / "build" / name).rename(folder / name)
        shutil.rmtree(folder / "build")

    made = cached_folder("bridge", key, compile_them)
    return tuple(made / name for name in products.values())


def _sources(*, with_tests: bool) -> Iterator[bytes]:
    """Name and content of each file that takes part."""
    for path in sorted(resources.BRIDGE.rglob("*")):
        relative = path.relative_to(resources.BRIDGE)
        if relative.parts[0] == "slim" or (relative.parts[0] == "tests" and not with_tests) or not path.is_file():
            continue
        yield os.fsencode(relative)
        yield path.read_bytes()
