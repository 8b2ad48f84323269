"""Doubles of installed torches: folders with the files that detection reads, and nothing that runs."""

from __future__ import annotations

from pathlib import Path

from aotpack_doctor.facts import SHIM_HEADER

LIBRARIES = {
    "cpu": ("libc10.so", "libtorch_cpu.so"),
    "cuda": ("libc10.so", "libtorch_cpu.so", "libc10_cuda.so", "libtorch_cuda.so"),
    "rocm": ("libc10.so", "libtorch_cpu.so", "libc10_hip.so", "libtorch_hip.so"),
}


def fill_torch(root: Path, variant: str, version_py: str) -> Path:
    """Make `root` look like an installed `torch` folder."""
    (root / "lib").mkdir(parents=True)
    for name in LIBRARIES[variant]:
        (root / "lib" / name).touch()
    header = root / "include" / SHIM_HEADER
    header.parent.mkdir(parents=True)
    header.touch()
    (root / "version.py").write_text(version_py)
    return root


def version_py(version: str, *, cuda: str | None = None, hip: str | None = None) -> str:
    """What torch's build writes."""
    return f"""from typing import Optional

__all__ = ['__version__', 'debug', 'cuda', 'git_version', 'hip', 'xpu']
__version__ = {version!r}
debug = False
cuda: Optional[str] = {cuda!r}
git_version = 'cf30153c4c131c8164ee7798e5022d810682e2cb'
hip: Optional[str] = {hip!r}
xpu: Optional[str] = None
"""


def make_venv(prefix: Path, python: str = "3.11") -> Path:
    """An empty virtual environment; returns its site-packages."""
    site_packages = prefix / "lib" / f"python{python}" / "site-packages"
    site_packages.mkdir(parents=True)
    (prefix / "bin").mkdir()
    (prefix / "bin" / "python3").touch()
    (prefix / "pyvenv.cfg").write_text(f"home = /usr/bin\ninclude-system-site-packages = false\nversion = {python}.2\n")
    return site_packages


def make_torch_venv(
    prefix: Path, variant: str = "cpu", version: str = "2.13.0+cpu", *, cuda: str | None = None, hip: str | None = None
) -> Path:
    """A virtual environment with a torch; returns the torch folder."""
    return fill_torch(make_venv(prefix) / "torch", variant, version_py(version, cuda=cuda, hip=hip))


def make_libtorch(root: Path, variant: str, version: str | None, *, abi: str = "1") -> Path:
    """An unpacked libtorch: no version.py."""
    fill_torch(root, variant, "")
    (root / "version.py").unlink()
    if version:
        (root / "build-version").write_text(version + "\n")
    config = root / "share/cmake/Torch/TorchConfig.cmake"
    config.parent.mkdir(parents=True)
    config.write_text(f'  set(TORCH_CXX_FLAGS "-D_GLIBCXX_USE_CXX11_ABI={abi}")\n')
    return root
