"""A virtual environment whose torch is the real CPU libtorch, to be dressed as another variant."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

from tests.support.doubles.torch_trees import version_py

#: The libraries of a CPU torch; a GPU torch has them as well.
CPU_LIBRARIES = ("libtorch_cpu.so", "libc10.so", "libgomp.so.1")


def make_environment(
    prefix: Path, backend_venv: Path, version: str, *, cuda: str | None = None, hip: str | None = None
) -> Path:
    """A real environment without pip, with the CPU libraries and headers of `backend_venv`; returns site-packages."""
    subprocess.run([backend_venv / "bin" / "python", "-m", "venv", "--without-pip", prefix], check=True)
    site_packages = next((prefix / "lib").glob("python3.*")) / "site-packages"
    real = next((backend_venv / "lib").glob("python3.*")) / "site-packages" / "torch"
    torch = site_packages / "torch"
    (torch / "lib").mkdir(parents=True)
    (torch / "version.py").write_text(version_py(version, cuda=cuda, hip=hip))
    (torch / "include").symlink_to(real / "include")
    for name in CPU_LIBRARIES:
        link_or_copy(real / "lib" / name, torch / "lib" / name)
    info = site_packages / f"torch-{version.partition('+')[0]}.dist-info"
    (info / "licenses").mkdir(parents=True)
    (info / "licenses" / "LICENSE").write_text("torch's licence\n")
    return site_packages


def link_or_copy(source: Path, target: Path) -> None:
    """Hundreds of megabytes are not worth a copy where a hard link does."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def record(site_packages: Path, wheel: str, files: list[Path], licence: str) -> None:
    """Write a wheel's `RECORD` of files, with their hashes, as pip leaves it, and `METADATA` with its licence."""
    info = site_packages / f"{wheel}.dist-info"
    info.mkdir(exist_ok=True)
    name, version = wheel.rsplit("-", 1)
    fields = ("Metadata-Version: 2.4", f"Name: {name}", f"Version: {version}", f"License-Expression: {licence}")
    (info / "METADATA").write_text("\n".join(fields) + "\n")
    lines = []
    for file in files:
        digest = base64.urlsafe_b64encode(hashlib.sha256(file.read_bytes()).digest()).rstrip(b"=").decode()
        lines.append(f"{file.relative_to(site_packages).as_posix()},sha256={digest},{file.stat().st_size}\n")
    (info / "RECORD").write_text("".join([*lines, f"{info.name}/RECORD,,\n"]))
