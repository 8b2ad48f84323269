"""Which torch is where, and what it was built for: from files alone, torch is never imported.

`detect` describes one place; `find_torch` looks through the places in the order that the documentation promises and
takes the first whose torch serves the backend. What lies on disk outranks what a version string says.
"""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from urllib.parse import unquote, urlsplit

from packaging.version import InvalidVersion, Version

from aotpack.backend import Backend
from aotpack.environment.python import PythonEnv, ask_python, read_env
from aotpack.errors import TorchMismatchError, UsageError

#: The oldest torch whose AOTInductor C shim the bridge speaks.
OLDEST = Version("2.9")

#: Libraries without which a torch of this variant is broken.
LIBRARIES: Mapping[Backend, tuple[str, ...]] = {
    Backend.CPU: ("libc10.so", "libtorch_cpu.so"),
    Backend.CUDA: ("libc10.so", "libtorch_cpu.so", "libc10_cuda.so", "libtorch_cuda.so"),
    Backend.ROCM: ("libc10.so", "libtorch_cpu.so", "libc10_hip.so", "libtorch_hip.so"),
}

#: Where wheels put the vendor's libraries, beside `torch/` in site-packages.
_VENDOR_LIBS = (
    "nvidia/*/lib",
    "_rocm_sdk_*/lib",
    "_rocm_sdk_*/lib/rocm_sysdeps/lib",
    "_rocm_sdk_*/lib/llvm/lib",
    "_rocm_sdk_*/lib/host-math/lib",
)
_SHIM_HEADER = "torch/csrc/inductor/aoti_torch/c/shim.h"


class NoTorchError(TorchMismatchError):
    """There is no torch."""


class WrongVariantError(TorchMismatchError):
    """There are torches, but none for the backend."""


class BrokenTorchError(TorchMismatchError):
    """Parts of a torch are missing."""


class OldTorchError(TorchMismatchError):
    """A torch is older than `OLDEST`."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A place that was looked at and what was found there."""

    source: str
    path: Path
    remark: str


@dataclass(frozen=True, kw_only=True)
class TorchInfo:
    """One usable torch.

    Attributes:
        version: in full, such as `2.13.0+cpu`; the local tag may be missing.
        variant: what it was built for, by the libraries on disk.
        cuda: CUDA version such as `12.8`; None unless the variant is cuda.
        hip: HIP version such as `7.0.51831`; None unless the variant is rocm.
        cxx11_abi: whether its C++ interfaces use libstdc++'s new ABI.
        root: the `torch` folder of a Python environment, or an unpacked libtorch.
        lib_dirs: torch's own library folder first, then the vendor's from its wheels.
        include_dirs: what a compiler needs to find `torch/csrc/...`; empty when the headers are not installed.
        python: the environment's interpreter; None for a libtorch.
        python_version: such as `3.11`; None for a libtorch.
        site_packages: the folder that holds `torch`; None for a libtorch.
        source: why this one: `--venv`, `LIBTORCH`, `.venv`, `VIRTUAL_ENV`, ...
        candidates: every place looked at, in order, the one taken last.
    """

    version: str
    variant: Backend
    cuda: str | None
    hip: str | None
    cxx11_abi: bool
    root: Path
    lib_dirs: tuple[Path, ...]
    include_dirs: tuple[Path, ...]
    python: Path | None
    python_version: str | None
    site_packages: Path | None
    source: str
    candidates: tuple[Candidate, ...] = ()

    @property
    def base_version(self) -> str:
        """The version without its local tag: `2.13.0`, `2.10.0a0`."""
        return Version(self.version).public

    @property
    def tag(self) -> str:
        """The variant's tag: the version's own local part, or what it should be (`cpu`, `cu128`, `rocm7.0`)."""
        local = Version(self.version).local
        if local and re.match(r"cpu|cu\d|rocm\d", local):
            return local
        if self.cuda:
            return "cu" + self.cuda.replace(".", "")
        if self.hip:
            return "rocm" + ".".join(self.hip.split(".")[:2])
        return str(self.variant)

    @property
    def label(self) -> str:
        """For people: `2.13.0+cpu (cpu)`, `2.10.0a0+git123 (cuda 12.8)`."""
        toolkit = self.cuda or self.hip
        return f"{self.version} ({self.variant}{' ' + toolkit if toolkit else ''})"

    def document(self) -> dict[str, object]:
        """For `--json`: paths as strings."""
        return {
            "version": self.version,
            "variant": str(self.variant),
            "tag": self.tag,
            "cuda": self.cuda,
            "hip": self.hip,
            "cxx11_abi": self.cxx11_abi,
            "root": str(self.root),
            "lib_dirs": [str(folder) for folder in self.lib_dirs],
            "include_dirs": [str(folder) for folder in self.include_dirs],
            "python": str(self.python) if self.python else None,
            "python_version": self.python_version,
            "site_packages": str(self.site_packages) if self.site_packages else None,
            "source": self.source,
            "candidates": [
                {"source": seen.source, "path": str(seen.path), "remark": seen.remark} for seen in self.candidates
            ],
        }


def find_torch(
    backend: Backend,
    *,
    venv: Path | None = None,
    env: Mapping[str, str] = os.environ,
    cwd: Path | None = None,
) -> TorchInfo:
    """The torch that builds for a backend.

    Looked at in this order: `--venv`, `LIBTORCH`, the backend's own venv, `.venv`, the active environment, `python3` on
    PATH. The first two are orders: whatever they name is taken or refused. The others are passed over when they hold no
    torch or one of another variant; a broken or too old torch that would have served is refused, not passed over.

    Raises:
        TorchMismatchError: its subclasses tell apart no torch, a broken one, an old one, none of the right variant.
    """
    looked_at: list[Candidate] = []
    for place in _places(backend, venv, env, cwd or Path.cwd()):
        info = place.read()
        if info is not None and backend.served_by(info.variant):
            _refuse_old(info)
            looked_at.append(Candidate(source=place.source, path=place.path, remark=f"taken: torch {info.label}"))
            return replace(info, source=place.source, candidates=tuple(looked_at))
        remark = f"torch {info.label} does not serve {backend}" if info else place.absent
        looked_at.append(Candidate(source=place.source, path=place.path, remark=remark))
        if place.ordered:
            raise _none_serves(backend, looked_at, wrong_variant=info is not None)
    raise _none_serves(backend, looked_at, wrong_variant=any("does not serve" in seen.remark for seen in looked_at))


def detect(path: Path, *, env: Mapping[str, str] = os.environ) -> TorchInfo:
    """The torch in a virtual environment, a conda prefix, a libtorch folder, or that of an interpreter.

    Raises:
        TorchMismatchError: there is none, or it is broken.
    """
    place = _Place("given path", path, ordered=True, read=partial(_read_any, path, env))
    info = place.read()
    if info is None:
        raise NoTorchError(
            f"{path}: {place.absent}",
            meaning="aotpack needs an environment that has PyTorch, or an unpacked libtorch",
            fix="aotpack init --backend cpu (or cuda, rocm) makes one",
        )
    remark = f"taken: torch {info.label}"
    return replace(info, candidates=(Candidate(source=place.source, path=path, remark=remark),))


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


@dataclass(frozen=True)
class _Place:
    """Somewhere a torch may be; `ordered` when the user named it."""

    source: str
    path: Path
    ordered: bool
    read: Callable[[], TorchInfo | None]

    @property
    def absent(self) -> str:
        return "no torch in it" if self.path.exists() else "does not exist"


def _places(backend: Backend, venv: Path | None, env: Mapping[str, str], cwd: Path) -> Iterator[_Place]:
    """The places in order; each once."""
    if venv is not None:
        given = cwd / venv
        yield _Place("--venv", given, ordered=True, read=partial(_read_env, given))
    if libtorch := env.get("LIBTORCH"):
        unpacked = cwd / libtorch
        yield _Place("LIBTORCH", unpacked, ordered=True, read=partial(_read_libtorch, unpacked, env))
    prefixes = {name: cwd / name for name in (backend.venv_name, Backend.CPU.venv_name)}
    prefixes |= {name: Path(env[name]) for name in ("VIRTUAL_ENV", "CONDA_PREFIX") if env.get(name)}
    seen: set[Path] = set()
    for source, prefix in prefixes.items():
        if prefix.resolve() not in seen:
            seen.add(prefix.resolve())
            yield _Place(source, prefix, ordered=False, read=partial(_read_env, prefix))
    if on_path := shutil.which("python3", path=env.get("PATH")):
        python = Path(on_path)
        yield _Place("python3 on PATH", python, ordered=False, read=partial(_read_any, python, env))


def _none_serves(backend: Backend, looked_at: list[Candidate], *, wrong_variant: bool) -> TorchMismatchError:
    places = "; ".join(f"{seen.path} ({seen.source}): {seen.remark}" for seen in looked_at)
    if wrong_variant:
        what = f"backend {backend} needs a {backend} torch; {places}"
        meaning = "a bundle is built from a torch of its own backend: that torch's libraries travel in it"
    else:
        what = f"no torch found for backend {backend}; {places}"
        meaning = "aotpack takes the libraries and headers it packs from an installed PyTorch"
    if looked_at and looked_at[-1].source == "LIBTORCH":
        fix = f"unset LIBTORCH, or point it at an unpacked libtorch built for {backend}"
    else:
        fix = f"aotpack init --backend {backend}"
        if looked_at and looked_at[0].source == "--venv":
            fix += f" --venv DIR, or name an environment that has a {backend} torch with --venv"
    kind = WrongVariantError if wrong_variant else NoTorchError
    return kind(what, meaning=meaning, fix=fix)


def _refuse_old(info: TorchInfo) -> None:
    if Version(Version(info.version).base_version) < OLDEST:
        raise OldTorchError(
            f"torch {info.version} in {info.root} is older than {OLDEST}",
            meaning=f"aotpack needs the AOTInductor interface of torch {OLDEST} or newer",
            fix=f"aotpack init --backend {info.variant}, or pip install --upgrade torch in that environment",
        )


def _read_any(path: Path, env: Mapping[str, str]) -> TorchInfo | None:
    """Whatever the path is: an interpreter, an environment, a libtorch."""
    if path.is_file():
        found = ask_python(path)
        return _read_installed(found) if found else None
    return _read_env(path) or _read_libtorch(path, env)


def _read_env(prefix: Path) -> TorchInfo | None:
    found = read_env(prefix)
    return _read_installed(found) if found else None


def _read_installed(found: PythonEnv) -> TorchInfo | None:
    """The torch that `import torch` would take in an environment."""
    for site_packages in found.search_path:
        root = _installed_root(site_packages)
        if root is None:
            continue
        try:
            values = parse_version_py((root / "version.py").read_text(encoding="utf-8"))
            version = values.get("__version__") or ""
            Version(version)
        except FileNotFoundError:
            raise _broken(root, "version.py is missing") from None
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
            url = urlsplit(json.loads((dist_info / "direct_url.json").read_text(encoding="utf-8"))["url"])
        except (OSError, ValueError, KeyError):
            return root
        editable = Path(unquote(url.path)) / "torch"
        return editable if url.scheme == "file" and editable.is_dir() else root
    return None


def _read_libtorch(root: Path, env: Mapping[str, str]) -> TorchInfo | None:
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
        return (root / "build-version").read_text(encoding="utf-8", errors="replace").strip()
    if (root / "version.py").is_file():
        try:
            return parse_version_py((root / "version.py").read_text(encoding="utf-8")).get("__version__") or ""
        except (SyntaxError, UnicodeDecodeError):
            return ""
    return _cmake_value(root / "share/cmake/Torch/TorchConfigVersion.cmake", r'PACKAGE_VERSION "([^"]+)"') or ""


def _cmake_value(path: Path, pattern: str) -> str | None:
    try:
        found = re.search(pattern, path.read_text(encoding="utf-8", errors="replace"))
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
    include = next((place / "include" for place in roots if (place / "include" / _SHIM_HEADER).exists()), None)
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
