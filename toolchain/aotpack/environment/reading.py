"""Which torch is where, and what it was built for: from files alone, torch is never imported.

Each function describes one place; which places are looked at, and in which order, is `search`'s to say. What lies on
disk outranks what a version string says.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

from packaging.version import InvalidVersion, Version

from aotpack.backend import Backend
from aotpack.environment.python import PythonEnv, ask_python, read_env
from aotpack.environment.torch import (
    LIBRARIES,
    BrokenTorchError,
    TorchInfo,
)
from aotpack.errors import UsageError
from aotpack_doctor.base.regular import SpecialFileError, read_text
from aotpack_doctor.facts import SHIM_HEADER

#: Where wheels put the vendor's libraries, beside `torch/` in site-packages.
_VENDOR_LIBS = (
    "nvidia/*/lib",
    "_rocm_sdk_*/lib",
    "_rocm_sdk_*/lib/rocm_sysdeps/lib",
    "_rocm_sdk_*/lib/llvm/lib",
    "_rocm_sdk_*/lib/host-math/lib",
)


def parse_version_py(text: str) -> dict[str, str | None]:
    """The string and None constants that torch's `version.py` assigns.

    Raises:
        SyntaxError: not Python.
    """
    values: dict[str, str | None] = {}
    for node in ast.parse(text).body:
        if isinstance(node, ast.Assign):
            targets, value = node.targets, node.value
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            targets, value = [node.target], node.value
        else:
            continue
        if isinstance(value, ast.Constant) and (value.value is None or isinstance(value.value, str)):
            values.update({target.id: value.value for target in targets if isinstance(target, ast.Name)})
    return values


def read_any(path: Path, env: Mapping[str, str]) -> TorchInfo | None:
    """Whatever the path is: an interpreter, an environment, a libtorch."""
    if path.is_file():
        found = ask_python(path)
        return _read_installed(found) if found else None
    return read_environment(path) or read_libtorch(path, env)


def read_environment(prefix: Path) -> TorchInfo | None:
    """The torch of a virtual environment or a conda prefix."""
    found = read_env(prefix)
    return _read_installed(found) if found else None


def _read_installed(found: PythonEnv) -> TorchInfo | None:
    """The torch that `import torch` would take in an environment."""
    for site_packages in found.search_path:
        root = _installed_root(site_packages)
        if root is None:
            continue
        try:
            values = parse_version_py(read_text(str(root / "version.py")))
            version = values.get("__version__") or ""
            Version(version)
        except FileNotFoundError:
            raise _broken(root, "version.py is missing") from None
        except SpecialFileError as error:
            raise _broken(root, f"version.py {error.strerror}") from None
        except (SyntaxError, UnicodeDecodeError, InvalidVersion):
            raise _broken(root, "version.py does not name a version") from None
        # conda keeps torch's libraries and headers in the prefix's own folders.
        roots = (root, found.prefix)
        info = _read_libraries(roots, version, cuda=values.get("cuda"), hip=values.get("hip"))
        vendor = (folder for pattern in _VENDOR_LIBS for folder in sorted(root.parent.glob(pattern)))
        return replace(
            info,
            lib_dirs=(*info.lib_dirs, *vendor),
            python=found.python,
            python_version=found.version,
            site_packages=root.parent,
        )
    return None


def _installed_root(site_packages: Path) -> Path | None:
    """The `torch` folder that belongs to a site-packages folder; for an editable install it lies elsewhere."""
    root = site_packages / "torch"
    if any((root / part).exists() for part in ("version.py", "__init__.py", "lib")):
        return root
    for dist_info in site_packages.glob("torch-[0-9]*.dist-info"):
        try:
            url = urlsplit(json.loads(read_text(str(dist_info / "direct_url.json")))["url"])
        except (OSError, ValueError, KeyError):
            return root
        editable = Path(unquote(url.path)) / "torch"
        return editable if url.scheme == "file" and editable.is_dir() else root
    return None


def read_libtorch(root: Path, env: Mapping[str, str]) -> TorchInfo | None:
    """An unpacked libtorch, or the `torch` folder of a wheel used as one."""
    if not (root / "lib").is_dir() or not (_libtorch_version_text(root) or any(root.glob("lib/libtorch*"))):
        return None
    try:
        version = _libtorch_version_text(root)
        Version(version)
    except InvalidVersion:
        raise _broken(root, "neither build-version nor TorchConfigVersion.cmake names a version") from None
    info = _read_libraries((root,), version, cuda=None, hip=None)
    abi = env.get("LIBTORCH_CXX11_ABI")
    if abi not in {None, "", "0", "1"}:
        raise UsageError(
            f"LIBTORCH_CXX11_ABI is {abi!r}",
            meaning="it says which C++ ABI the libtorch in LIBTORCH was built with: 1 (new, the default) or 0 (old)",
            fix="unset LIBTORCH_CXX11_ABI, or set it to 0 or 1",
        )
    return replace(info, cxx11_abi=abi == "1") if abi else info


def _libtorch_version_text(root: Path) -> str:
    if (root / "build-version").is_file():
        return read_text(str(root / "build-version"), "replace").strip()
    if (root / "version.py").is_file():
        try:
            return parse_version_py(read_text(str(root / "version.py"))).get("__version__") or ""
        except (SyntaxError, UnicodeDecodeError):
            return ""
    return _cmake_value(root / "share/cmake/Torch/TorchConfigVersion.cmake", r'PACKAGE_VERSION "([^"]+)"') or ""


def _cmake_value(path: Path, pattern: str) -> str | None:
    try:
        found = re.search(pattern, read_text(str(path), "replace"))
    except OSError:
        return None
    return found[1] if found else None


def cxx11_abi_on_disk(root: Path) -> bool | None:
    """The C++ ABI that torch's own CMake file records; None when it does not."""
    recorded = _cmake_value(root / "share/cmake/Torch/TorchConfig.cmake", r"_GLIBCXX_USE_CXX11_ABI=([01])")
    return None if recorded is None else recorded == "1"


def _read_libraries(roots: tuple[Path, ...], version: str, *, cuda: str | None, hip: str | None) -> TorchInfo:
    """What the libraries say, checked against what the version file claims.

    Args:
        roots: folders that may hold `lib` and `include`, the torch folder first.
    """
    root = roots[0]
    lib = next((place / "lib" for place in roots if (place / "lib" / "libtorch_cpu.so").exists()), root / "lib")
    if (lib / "libtorch_cuda.so").exists() or (cuda and not (lib / "libtorch_hip.so").exists()):
        variant = Backend.CUDA
    elif (lib / "libtorch_hip.so").exists() or hip:
        variant = Backend.ROCM
    else:
        variant = Backend.CPU
    missing = [name for name in LIBRARIES[variant] if not (lib / name).exists()]
    if missing:
        raise _broken(root, f"{', '.join(missing)} missing from {lib}")
    include = next((place / "include" for place in roots if (place / "include" / SHIM_HEADER).exists()), None)
    local = Version(version).local or ""
    recorded_abi = cxx11_abi_on_disk(root)
    return TorchInfo(
        version=version,
        variant=variant,
        cuda=(cuda or _cuda_of_tag(local) or _cudart_major(lib)) if variant is Backend.CUDA else None,
        hip=(hip or _first(r"rocm([\d.]*\d)", local)) if variant is Backend.ROCM else None,
        cxx11_abi=True if recorded_abi is None else recorded_abi,
        root=root,
        lib_dirs=(lib,),
        include_dirs=(include, include / "torch/csrc/api/include") if include else (),
        python=None,
        python_version=None,
        site_packages=None,
        source="given path",
    )


def _cuda_of_tag(local: str) -> str | None:
    """`cu128` -> `12.8`, `cu130` -> `13.0`."""
    digits = _first(r"cu(\d{3,})", local)
    return f"{digits[:-1]}.{digits[-1]}" if digits else None


def _cudart_major(lib: Path) -> str | None:
    """The major CUDA version by the name of the runtime library that travels along."""
    names = sorted(path.name for path in lib.glob("libcudart*.so.*"))
    return _first(r"\.so\.(\d+)", names[0]) if names else None


def _first(pattern: str, text: str) -> str | None:
    found = re.search(pattern, text)
    return found[1] if found else None


def _broken(root: Path, what: str) -> BrokenTorchError:
    return BrokenTorchError(
        f"the torch in {root} is broken: {what}",
        meaning="an installation was interrupted or changed by hand; nothing can be built from it",
        fix="pip install --force-reinstall torch in that environment, or remove the environment and run aotpack init",
    )
