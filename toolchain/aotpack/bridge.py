"""Compiling bridge/: libaot_bridge.so, and libaot_proxy.so for models that need libtorch's proxy executor.

The result is cached by everything that goes into it: sources, options, compiler and torch's headers. What comes out
names no place of this machine: libraries look beside themselves, and staging sets another search path where needed.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import sysconfig
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from aotpack import resources
from aotpack.backend import Backend
from aotpack.compilers import Compiler, find_compiler, run_tool
from aotpack.errors import BuildToolError, TorchMismatchError
from aotpack.torch_env import TorchInfo
from aotpack.uptodate import cache_home

BRIDGE = "libaot_bridge.so"
PROXY = "libaot_proxy.so"
TESTS = "bridge_tests"

#: Where the libraries look for the runtime, and for libstdc++ in a bundle that brings its own.
RUNPATH = ("$ORIGIN", "$ORIGIN/gcc")

#: Headers that stand for the libraries they belong to, beside torch's version: a change in these changes the bridge.
_TORCH_HEADERS = ("torch/csrc/inductor/aoti_torch/c/shim.h", "torch/csrc/inductor/aoti_runtime/interface.h")
_JSON_HEADER = "nlohmann/detail/abi_macros.hpp"
#: The headers that a GPU build needs, the variables that name its toolkit, the usual place, and the folders of
#: site-packages that hold it otherwise.
_GPU_HEADERS = {
    Backend.CUDA: (
        ("cuda_runtime_api.h", "crt/host_defines.h"),  # of two packages in CUDA 13's wheels
        ("CUDA_HOME", "CUDA_PATH"),
        "/usr/local/cuda",
        ("nvidia/*/include",),
    ),
    Backend.ROCM: (
        ("hip/hip_runtime_api.h",),
        ("ROCM_PATH",),
        "/opt/rocm",
        ("_rocm_sdk_*/include",),
    ),
}


@dataclass(frozen=True)
class _Recipe:
    """One configuration of bridge/CMakeLists.txt."""

    compiler: Compiler
    definitions: tuple[tuple[str, str], ...]
    headers: tuple[Path, ...]
    targets: tuple[str, ...]
    products: tuple[str, ...]


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
    definitions = (("CMAKE_BUILD_TYPE", "Debug" if debug else "Release"), ("AOT_RUNPATH", ";".join(runpath)))
    targets = ("aot_bridge", "aot_proxy") if proxy else ("aot_bridge",)
    products = (BRIDGE, PROXY) if proxy else (BRIDGE,)
    return _built(torch, _recipe(torch, backend, definitions, targets, products))


def build_sanitized_tests(torch: TorchInfo) -> Path:
    """Compile bridge/tests with AddressSanitizer and UndefinedBehaviorSanitizer; returns the program.

    Raises:
        BuildToolError: as `build_bridge`.
    """
    definitions = (("CMAKE_BUILD_TYPE", "Debug"), ("AOT_TESTS", "ON"), ("AOT_SANITIZE", "ON"))
    return _built(torch, _recipe(torch, Backend.CPU, definitions, (TESTS,), (TESTS,)))[0]


def _recipe(
    torch: TorchInfo,
    backend: Backend,
    definitions: Iterable[tuple[str, str]],
    targets: tuple[str, ...],
    products: tuple[str, ...],
) -> _Recipe:
    if not torch.include_dirs:
        raise TorchMismatchError(
            f"{torch.root}: torch {torch.version} without its headers (include/ is missing)",
            meaning="the bridge is compiled against torch's C interface",
            fix="install torch again: aotpack init",
        )
    json = _json_include()
    every = [
        *definitions,
        ("AOT_TORCH_INCLUDE", ";".join(map(str, torch.include_dirs))),
        ("AOT_TORCH_LIB", str(torch.lib_dirs[0])),
        ("AOT_JSON_INCLUDE", str(json)),
        ("AOT_CXX11_ABI", "1" if torch.cxx11_abi else "0"),
    ]
    headers = [folder / name for folder in torch.include_dirs for name in _TORCH_HEADERS]
    headers.append(json / _JSON_HEADER)
    if backend is not Backend.CPU:
        gpu = _gpu_include(backend, torch)
        every += [("AOT_GPU", str(backend)), ("AOT_GPU_INCLUDE", str(gpu))]
        headers += [gpu / name for name in _GPU_HEADERS[backend][0]]
    present = tuple(header for header in headers if header.is_file())
    return _Recipe(find_compiler("c++"), tuple(every), present, targets, products)


def _gpu_include(backend: Backend, torch: TorchInfo) -> Path:
    headers, variables, usual, packaged = _GPU_HEADERS[backend]
    folders = [Path(os.environ[name]) / "include" for name in variables if os.environ.get(name)]
    folders.append(Path(usual) / "include")
    if torch.site_packages is not None:
        folders += [folder for pattern in packaged for folder in sorted(torch.site_packages.glob(pattern))]
    for folder in folders:
        if all((folder / header).is_file() for header in headers):
            return folder
    raise BuildToolError(
        f"{' and '.join(headers)}: in none of {', '.join(map(str, folders))}",
        meaning=f"the {backend} part of the bridge is compiled against the toolkit's headers",
        fix=f"install the toolkit's development files, or set {variables[0]} to where they are",
    )


def _json_include() -> Path:
    found = importlib.util.find_spec("nlohmann_json")
    if found is not None and found.submodule_search_locations:
        return Path(found.submodule_search_locations[0]) / "include"
    raise BuildToolError(
        "the Python package nlohmann-json is missing",
        meaning="the bridge reads JSON with it; aotpack depends on it",
        fix="pip install nlohmann-json",
    )


def _tool(name: str) -> str:
    """CMake or Ninja: the PyPI package that aotpack depends on, else the system's."""
    folders = [Path(sysconfig.get_path("scripts"))]
    # The cmake on a scripts folder is Python that starts this one.
    found = importlib.util.find_spec(name)
    if found is not None and found.submodule_search_locations:
        folders.insert(0, Path(found.submodule_search_locations[0]) / "data" / "bin")
    for folder in folders:
        if os.access(folder / name, os.X_OK):
            return str(folder / name)
    on_path = shutil.which(name)
    if on_path is None:
        raise BuildToolError(
            f"{name} is missing",
            meaning="the bridge is built with CMake and Ninja",
            fix=f"pip install {name}",
        )
    return on_path


def _built(torch: TorchInfo, recipe: _Recipe) -> tuple[Path, ...]:
    folder = cache_home() / "bridge" / _key(torch, recipe)
    products = tuple(folder / name for name in recipe.products)
    if all(path.is_file() for path in products):
        return products
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=".building-", dir=folder.parent))
    except OSError as error:
        raise BuildToolError(
            f"{folder.parent} cannot be written: {error.strerror}",
            meaning="compiled parts are kept there between builds",
            fix="set XDG_CACHE_HOME to a folder that you can write",
        ) from None
    try:
        _compile(recipe, scratch / "build")
        _publish([scratch / "build" / name for name in recipe.products], scratch / "done", folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return products


def _compile(recipe: _Recipe, build: Path) -> None:
    ninja = _tool("ninja")
    launcher, compiler = recipe.compiler.command[:-1], recipe.compiler.command[-1]
    command = [_tool("cmake"), "-S", str(resources.BRIDGE), "-B", str(build), "-G", "Ninja"]
    command += [f"-DCMAKE_MAKE_PROGRAM={ninja}", f"-DCMAKE_CXX_COMPILER={compiler}"]
    if launcher:
        command.append(f"-DCMAKE_CXX_COMPILER_LAUNCHER={';'.join(launcher)}")
    command += [f"-D{name}={value}" for name, value in recipe.definitions]
    # Flags of the user's shell are not part of the key, so they must not reach the compiler.
    env = {name: value for name, value in os.environ.items() if name not in ("CXXFLAGS", "CPPFLAGS", "LDFLAGS")}
    run_tool(command, env=env)
    run_tool([ninja, "-C", str(build), *recipe.targets], env=env)


def _publish(files: Iterable[Path], done: Path, folder: Path) -> None:
    """Make the finished files appear at once. Whoever builds the same at the same time makes the same files."""
    done.mkdir()
    for file in files:
        shutil.move(file, done / file.name)
    try:
        done.rename(folder)
    except OSError:
        for file in done.iterdir():
            folder.mkdir(exist_ok=True)
            file.replace(folder / file.name)


def _key(torch: TorchInfo, recipe: _Recipe) -> str:
    """SHA-256 of everything that goes into the result."""
    content = hashlib.sha256()
    parts = [recipe.compiler.identity, *recipe.compiler.command, torch.version, *recipe.targets]
    parts += [f"{name}={value}" for name, value in recipe.definitions]
    for part in parts:
        content.update(part.encode() + b"\0")
    with_tests = TESTS in recipe.targets
    for path in sorted(resources.BRIDGE.rglob("*")):
        relative = path.relative_to(resources.BRIDGE)
        if relative.parts[0] == "slim" or (relative.parts[0] == "tests" and not with_tests) or not path.is_file():
            continue
        content.update(os.fsencode(relative) + b"\0" + path.read_bytes() + b"\0")
    for header in recipe.headers:
        content.update(header.read_bytes())
    return content.hexdigest()[:32]
