"""What only the build machine can tell the doctor: torch, tools, packages. `aotpack_doctor` reads the rest itself."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from aotpack.backend import Backend
from aotpack.diagnosing.torch_facts import read_torch, shim_functions
from aotpack.environment.torch import LIBRARIES, TorchInfo
from aotpack.errors import AotpackError, BuildToolError
from aotpack.libraries.recipe import load_recipe
from aotpack.package.model import ModelInfo, read_model
from aotpack.tools import running, sandbox
from aotpack.tools.compilers import find_compiler
from aotpack.tools.programs import look_for_program
from aotpack_doctor import facts as f
from aotpack_doctor.reading import gpus
from aotpack_doctor.reading.bundle import read_bundle
from aotpack_doctor.reading.host import read_host
from aotpack_doctor.reading.models import custom, packed_halves

#: What a portable bundle holds beside torch's libraries, in bytes: interpreter, libc, runner.
_REST = 60_000_000


def read_facts(
    *,
    backend: Backend | None = None,
    models: Sequence[Path] = (),
    bundle: Path | None = None,
    venv: Path | None = None,
    env: Mapping[str, str] = os.environ,
    cwd: Path | None = None,
    root: str = "/",
    nvml: str = gpus.NVML,
) -> f.HostFacts:
    """All facts of one run of the doctor on a build machine.

    Args:
        backend: what is to be built; by default the bundle's, else whatever the torch at hand was built for.
        models: packages to look at.
        bundle: a bundle to look at; then it is also asked whether it runs here.
        venv: where torch is, as for the other commands.
        env: environment variables.
        cwd: folder from which `.venv` is searched.
        root: where the machine's own file system is.
        nvml: NVIDIA's management library, by name or path.
    """
    here = cwd or Path.cwd()
    host = read_host(root, env)
    seen, inside = read_bundle(str(bundle), host, root) if bundle else (None, ())
    if backend is None and seen is not None and seen.machine is not None:
        backend = next((known for known in Backend if known.value == seen.backend), None)  # anybody may have written it
    info, torch = read_torch(backend, venv, env, here)
    chosen = backend or (info.variant if info else Backend.CPU)
    shim = shim_functions(info) if info else frozenset()
    return f.HostFacts(
        backend=str(chosen),
        runs_here=bundle is not None,
        host=host,
        tools=_tools(),
        disk=_disk(info, here) if info else None,
        torch=torch,
        toolkit=gpus.read_toolkit(str(chosen), root, env),
        nvidia=gpus.read_nvidia(root, env, nvml) if chosen is Backend.CUDA else None,
        amd=gpus.read_amd(root) if chosen is Backend.ROCM else None,
        driver_floor=_driver_floor(chosen, info, seen),
        models=(*(_model(path, shim) for path in models), *inside),
        bundle=seen,
    )


def _tools() -> f.Tools:
    compiler, kind = _compiler()
    box = sandbox.find_sandbox()
    return f.Tools(
        compiler=compiler,
        c_compiler=_c_compiler(),
        compiler_kind=kind,
        cmake=_tool("cmake"),
        ninja=_tool("ninja"),
        patchelf=_tool("patchelf", ask=False),
        strip=_tool("strip", ask=False),
        sandbox=box.name if box else None,
    )


def _compiler() -> tuple[f.Program, str | None]:
    try:
        found = find_compiler("c++")
    except BuildToolError:
        return f.Program(None), None
    # `g++ (Debian 12.2.0-14) 12.2.0`, `Debian clang version 18.1.8 (1)`: the last one that stands free.
    numbers = re.findall(r"(?<=\s)\d+\.\d+(?:\.\d+)?(?=\s|$|-)", found.identity)
    kind = "clang" if "clang" in found.identity else "gcc" if re.search(r"g\+\+|gcc|c\+\+", found.identity) else None
    return f.Program(found.command[-1], numbers[-1] if numbers else None), kind


def _c_compiler() -> f.Program:
    try:
        return f.Program(find_compiler("c").command[0])
    except BuildToolError:
        return f.Program(None)


def _tool(name: str, *, ask: bool = True) -> f.Program:
    """A tool where a build looks for it."""
    path = look_for_program(name)
    if path is None or not ask:
        return f.Program(str(path) if path else None)
    # Those of PyPI may be Python scripts: asking them would cost more than all the rest.
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        if path.is_relative_to(sys.prefix):
            return f.Program(str(path), importlib.metadata.version(name))
    try:
        said = running.run([path, "--version"], timeout=30).output
    except OSError:
        return f.Program(str(path))
    found = re.search(r"\d+\.\d+(?:\.\d+)*", said)
    return f.Program(str(path), found[0] if found else None)


def _disk(info: TorchInfo, cwd: Path) -> f.Disk:
    """Free space, and what a portable bundle of this torch takes at most."""
    needed = _REST + sum((info.lib_dirs[0] / name).stat().st_size for name in LIBRARIES[info.variant])
    if info.variant is not Backend.CPU:
        for folder in info.lib_dirs[1:] if info.variant is Backend.CUDA else info.lib_dirs:
            needed += sum(
                path.stat().st_size for path in folder.rglob("*") if path.is_file() and "torch" not in path.name
            )
    status = os.statvfs(cwd)
    return f.Disk(str(cwd), status.f_bavail * status.f_frsize, needed)


def _driver_floor(backend: Backend, info: TorchInfo | None, bundle: f.Bundle | None) -> f.DriverFloor | None:
    """From the bundle, else from the recipe's table for torch's CUDA; None when the table does not have it."""
    if backend is not Backend.CUDA:
        return None
    if bundle and bundle.floors.get("driver"):
        return f.DriverFloor(None, None, bundle.floors["driver"])
    floor = load_recipe(backend).driver_floor(info.cuda or "") if info else None
    return f.DriverFloor(floor.toolkit, floor.release, floor.minimum) if floor else None


def _model(path: Path, shim: frozenset[str]) -> f.Model:
    try:
        model = read_model(path)
    except AotpackError as error:
        return f.Model(str(path), problem=error.what)
    return _described(path, model, shim)


def _described(path: Path, model: ModelInfo, shim: frozenset[str]) -> f.Model:
    metadata = model.metadata
    return f.Model(
        name=str(path),
        device=metadata.device,
        machine=metadata.machine,
        torch_version=metadata.torch_version,
        cpu_features=metadata.cpu_features,
        gpu_archs=metadata.gpu_archs,
        variants=tuple(
            f.Variant(each.name, each.device, each.cpu_features, each.gpu_archs) for each in metadata.variants
        ),
        glibc=metadata.floors.glibc,
        glibcxx=metadata.floors.glibcxx,
        int4_order=metadata.int4_order,
        multiplies_bytes=any(layer.precision == "int8" for layer in metadata.precision),
        packed_halves=packed_halves(metadata.layouts),
        missing_symbols=tuple(sorted(set(model.shim_symbols) - shim)) if shim else (),
        needs_proxy=model.needs_proxy,
        custom_ops=custom(model.extern_ops),
        described=metadata.has_signature,
    )
