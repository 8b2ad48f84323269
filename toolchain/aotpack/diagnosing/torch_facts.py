"""What the doctor knows of the torch that a build would use."""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from aotpack.backend import Backend
from aotpack.environment.python import read_pyvenv_cfg
from aotpack.environment.reading import cxx11_abi_on_disk
from aotpack.environment.search import active, detect, find_torch
from aotpack.environment.torch import LIBRARIES, BrokenTorchError, NoTorchError, OldTorchError, TorchInfo
from aotpack.errors import TorchMismatchError
from aotpack.gpu import gfx, trimming
from aotpack_doctor import facts as f
from aotpack_doctor.base.elf import shim_names
from aotpack_doctor.base.regular import read_text
from aotpack_doctor.reading.rocm import read_rocm_tree


def read_torch(
    backend: Backend | None, venv: Path | None, env: Mapping[str, str], cwd: Path
) -> tuple[TorchInfo | None, f.Torch]:
    """The torch that a build would take, and what is to be said of it and of others that were not taken."""
    try:
        info = find_torch(backend or Backend.CPU, venv=venv, env=env, cwd=cwd)
    except TorchMismatchError as error:
        problems = ((NoTorchError, "none"), (BrokenTorchError, "broken"), (OldTorchError, "old"))
        problem = next((name for kind, name in problems if isinstance(error, kind)), "variant")
        return None, f.Torch(problem=problem, explanation=error.what, others=tuple(_others(None, env, cwd)))
    others = tuple(_others(info, env, cwd))
    used = next((str(folder) for folder in active(env).values()), None)
    place = info.candidates[-1].path if info.candidates else info.root
    is_rival = used is not None and venv is None and any(other.path == used for other in others)
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
        active=used if is_rival else None,
        rocm=read_rocm_tree(*map(str, info.lib_dirs)) if info.variant is Backend.ROCM else None,
    )


def _others(taken: TorchInfo | None, env: Mapping[str, str], cwd: Path) -> Iterator[f.OtherTorch]:
    """Environments with a torch that were not taken: the active ones, and those in the working folder, also under names
    that no search looks for."""
    seen = {taken.root.resolve()} if taken else set()
    for folder in (*sorted(cwd.glob(".venv*")), *active(env).values()):
        try:
            info = detect(folder, env={})
        except TorchMismatchError:
            continue
        if info.root.resolve() not in seen:
            seen.add(info.root.resolve())
            yield f.OtherTorch(source=folder.name, path=str(folder), label=info.label)


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
        driver = read_text(str(info.root / "_inductor/cpp_builder.py"))
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
    installed = {canonicalize_name(str(each.metadata["Name"])): each.version for each in _distributions(path)}
    for line in (torch.requires if torch else None) or ():
        try:
            need = Requirement(line)
        except InvalidRequirement:
            continue
        environment = {"extra": "", "python_version": info.python_version or ""}
        if need.marker and not need.marker.evaluate(environment):
            continue
        found = installed.get(canonicalize_name(need.name))
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


def shim_functions(info: TorchInfo) -> frozenset[str]:
    """The functions of the C shim that a torch\'s libraries export; empty where they cannot be read."""
    names: set[str] = set()
    for library in info.lib_dirs[0].glob("libtorch_*.so"):
        if library.name in LIBRARIES[info.variant]:
            try:
                names |= shim_names(str(library))
            except (OSError, ValueError):
                return frozenset()
    return frozenset(names)
