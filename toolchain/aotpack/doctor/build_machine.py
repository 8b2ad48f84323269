"""What only the build machine can tell the doctor: torch, tools, packages. `aotpack_doctor` reads the rest itself."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement

from aotpack.backend import Backend
from aotpack.environment.python import read_pyvenv_cfg
from aotpack.environment.reading import (
    LIBRARIES,
    BrokenTorchError,
    NoTorchError,
    OldTorchError,
    TorchInfo,
    cxx11_abi_on_disk,
    detect,
    find_torch,
)
from aotpack.errors import AotpackError, BuildToolError, TorchMismatchError
from aotpack.gpu import gfx, trimming
from aotpack.libraries.recipe import load_recipe
from aotpack.package.model import ModelInfo, read_model
from aotpack.tools import sandbox
from aotpack.tools.compilers import find_compiler
from aotpack_doctor import facts as f
from aotpack_doctor.base import versions
from aotpack_doctor.base.elf import shim_names
from aotpack_doctor.reading import gpus
from aotpack_doctor.reading.bundle import custom, read_bundle, read_rocm_tree
from aotpack_doctor.reading.host import read_host

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
        backend = Backend(seen.backend)
    info, torch = _torch(backend, venv, env, here)
    chosen = backend or (info.variant if info else Backend.CPU)
    shim = _shim(info) if info else frozenset()
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


def _torch(
    backend: Backend | None, venv: Path | None, env: Mapping[str, str], cwd: Path
) -> tuple[TorchInfo | None, f.Torch]:
    try:
        info = find_torch(backend or Backend.CPU, venv=venv, env=env, cwd=cwd)
    except TorchMismatchError as error:
        problems = ((NoTorchError, "none"), (BrokenTorchError, "broken"), (OldTorchError, "old"))
        problem = next((name for kind, name in problems if isinstance(error, kind)), "variant")
        return None, f.Torch(problem=problem, explanation=error.what, others=tuple(_others(None, env, cwd)))
    others = tuple(_others(info, env, cwd))
    active = env.get("VIRTUAL_ENV") or env.get("CONDA_PREFIX")
    place = info.candidates[-1].path if info.candidates else info.root
    is_rival = active is not None and venv is None and any(other.path == active for other in others)
    return info, f.Torch(
        problem=None,
        version=info.version,
        variant=str(info.variant),
        label=info.label,
        source=info.source,
        path=str(place),
        toolkit=info.cuda or info.hip,
        archs=_archs(info) if backend is not Backend.CPU else None,
        headers=bool(info.include_dirs),
        oldest_gcc=_oldest_gcc(info),
        cxx11_abi=cxx11_abi_on_disk(info.root) if info.source == "LIBTORCH" else None,
        declared_abi=env.get("LIBTORCH_CXX11_ABI") or None,
        needs=tuple(_unfulfilled(info)),
        user_site=_user_site(info, env),
        others=others,
        active=active if is_rival else None,
        rocm=read_rocm_tree(*map(str, info.lib_dirs)) if info.variant is Backend.ROCM else None,
    )


def _others(taken: TorchInfo | None, env: Mapping[str, str], cwd: Path) -> Iterator[f.OtherTorch]:
    """Environments with a torch that were not taken: those beside the working folder and the active one."""
    places = {str(folder): folder for folder in sorted(cwd.glob(".venv*"))}
    places |= {env[name]: Path(env[name]) for name in ("VIRTUAL_ENV", "CONDA_PREFIX") if env.get(name)}
    seen = {taken.root.resolve()} if taken else set()
    for name, folder in places.items():
        try:
            info = detect(folder, env={})
        except TorchMismatchError:
            continue
        if info.root.resolve() not in seen:
            seen.add(info.root.resolve())
            yield f.OtherTorch(source=folder.name, path=name, label=info.label)


def _archs(info: TorchInfo) -> tuple[str, ...] | None:
    if info.variant is Backend.CUDA:
        try:
            return trimming.architectures(info.lib_dirs[0] / "libtorch_cuda.so")
        except (OSError, ValueError):
            return None
    if info.variant is Backend.ROCM:
        folders = (folder / "rocblas/library" for folder in info.lib_dirs)
        return gfx.mentioned([path.name for folder in folders for path in folder.glob("*gfx*")])
    return None


def _oldest_gcc(info: TorchInfo) -> int:
    """The oldest gcc for torch's C++, by the standard that its own compiler driver asks for."""
    try:
        driver = (info.root / "_inductor/cpp_builder.py").read_text(encoding="utf-8")
    except OSError:
        driver = ""
    # gcc spells it -std=c++20 from 10 on; C++17 is complete with 9.
    return 10 if re.search(r'std_num: str = "c\+\+20"', driver) else 9


def _unfulfilled(info: TorchInfo) -> Iterator[f.PackageNeed]:
    """What torch's metadata asks for and the environment does not have."""
    if info.site_packages is None:
        return
    path = [str(info.site_packages)]
    torch = next(iter(importlib.metadata.distributions(name="torch", path=path)), None)
    installed = {str(each.metadata["Name"]).lower().replace("_", "-"): each.version for each in _distributions(path)}
    for line in (torch.requires if torch else None) or ():
        try:
            need = Requirement(line)
        except InvalidRequirement:
            continue
        environment = {"extra": "", "python_version": info.python_version or ""}
        if need.marker and not need.marker.evaluate(environment):
            continue
        found = installed.get(need.name.lower().replace("_", "-"))
        if found is None or not need.specifier.contains(found, prereleases=True):
            yield f.PackageNeed(need.name, str(need.specifier), found)


def _distributions(path: list[str]) -> list[importlib.metadata.Distribution]:
    return list(importlib.metadata.distributions(path=path))


def _user_site(info: TorchInfo, env: Mapping[str, str]) -> str | None:
    """How a torch in the user's home gets in the way; None when it does not."""
    if info.python is None or env.get("PYTHONNOUSERSITE"):
        return None
    base = env.get("PYTHONUSERBASE") or Path(env.get("HOME", "~")) / ".local"
    torch = Path(base) / "lib" / f"python{info.python_version}" / "site-packages" / "torch"
    if torch == info.root:
        return f"torch {info.version} is imported from {torch.parent}"
    isolated = read_pyvenv_cfg(info.python.parent.parent).get("include-system-site-packages", "") == "false"
    if not isolated and torch.exists():
        return f"Python imports {torch} in place of {info.root}"
    return None


def _tools() -> f.Tools:
    compiler, kind = _compiler()
    box = sandbox.find_sandbox()
    return f.Tools(
        compiler=compiler,
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


def _tool(name: str, *, ask: bool = True) -> f.Program:
    """A tool where a build looks for it: beside this interpreter, else on PATH."""
    beside = Path(sys.executable).parent / name
    if beside.is_file():
        # Those of PyPI are Python scripts: asking them would cost more than all the rest.
        try:
            return f.Program(str(beside), importlib.metadata.version(name))
        except importlib.metadata.PackageNotFoundError:
            return f.Program(str(beside))
    path = shutil.which(name)
    if path is None or not ask:
        return f.Program(path)
    done = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
    found = re.search(r"\d+\.\d+(?:\.\d+)*", done.stdout)
    return f.Program(path, found[0] if found else None)


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


def _shim(info: TorchInfo) -> frozenset[str]:
    names: set[str] = set()
    for library in info.lib_dirs[0].glob("libtorch_*.so"):
        if library.name in LIBRARIES[info.variant]:
            try:
                names |= shim_names(str(library))
            except (OSError, ValueError):
                return frozenset()
    return frozenset(names)


def _driver_floor(backend: Backend, info: TorchInfo | None, bundle: f.Bundle | None) -> f.DriverFloor | None:
    """From the bundle, else from the recipe's table for torch's CUDA; None when the table does not have it."""
    if backend is not Backend.CUDA:
        return None
    if bundle and bundle.floors.get("driver"):
        return f.DriverFloor(None, None, bundle.floors["driver"])
    cuda = versions.key(info.cuda or "")[:2] if info else ()
    for floor in load_recipe(backend).driver_floors:
        if versions.key(floor.toolkit) == cuda:
            return f.DriverFloor(floor.toolkit, floor.release, floor.minimum)
    return None


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
        glibc=metadata.floors.glibc,
        glibcxx=metadata.floors.glibcxx,
        missing_symbols=tuple(sorted(set(model.shim_symbols) - shim)) if shim else (),
        needs_proxy=model.needs_proxy,
        custom_ops=custom(model.extern_ops),
        described=metadata.has_signature,
    )
