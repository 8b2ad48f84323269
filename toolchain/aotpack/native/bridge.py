"""Compiling bridge/: libaot_bridge.so, and libaot_proxy.so for models that need libtorch's proxy executor.

The result is cached by everything that goes into it: sources, options, compiler and torch's headers. What is compiled
names no place of this machine: libraries look beside themselves, and a copy gets another search path where needed.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from aotpack import resources
from aotpack.backend import Backend
from aotpack.elf.edits import ElfEdit, apply_edit
from aotpack.environment.torch import TorchInfo
from aotpack.tools.cache import cached_folder, content_key
from aotpack.tools.cmake import build_targets
from aotpack.tools.compilers import find_compiler
from aotpack_doctor.facts import SHIM_HEADER

BRIDGE = "libaot_bridge.so"
PROXY = "libaot_proxy.so"

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
    definitions = {"CMAKE_BUILD_TYPE": "Debug" if debug else "Release"}
    products = {"aot_bridge": BRIDGE} | ({"aot_proxy": PROXY} if proxy else {})
    compiled = compile_bridge(torch, backend, definitions, products)
    return compiled if tuple(runpath) == RUNPATH else _looking_in(compiled, runpath)


def _looking_in(compiled: tuple[Path, ...], runpath: Sequence[str]) -> tuple[Path, ...]:
    """Copies of compiled libraries with another search path."""
    edit = ElfEdit(search_path=":".join(runpath))

    def make(folder: Path) -> None:
        for library in compiled:
            copy = folder / library.name
            shutil.copy(library, copy)
            apply_edit(copy, edit, library)

    made = cached_folder("bridge", content_key([repr(edit), *(path.read_bytes() for path in compiled)]), make)
    return tuple(made / path.name for path in compiled)


def compile_bridge(
    torch: TorchInfo, backend: Backend, options: Mapping[str, str], products: Mapping[str, str], *, tests: bool = False
) -> tuple[Path, ...]:
    """Compile targets of bridge/CMakeLists.txt, or find them in the cache.

    Args:
        torch: as for `build_bridge`.
        backend: as for `build_bridge`.
        options: CMake's definitions beside those that follow from torch and backend.
        products: the targets with the files that they make.
        tests: some of them are made of bridge/tests as well.

    Returns:
        Paths of the files, in the order of `products`.

    Raises:
        BuildToolError: as `build_bridge`.
        TorchMismatchError: as `build_bridge`.
    """
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
    key = content_key([*parts, shim.read_bytes(), *_sources(with_tests=tests)])

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
