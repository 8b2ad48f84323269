"""A torch: what is known of one, and what can be wrong with it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from packaging.version import Version

from aotpack.backend import Backend
from aotpack.errors import TorchMismatchError
from aotpack_doctor.facts import SHIM_HEADER

#: The oldest torch whose AOTInductor C shim the bridge speaks.
OLDEST = Version("2.9")


#: Libraries without which a torch of this variant is broken.
LIBRARIES: Mapping[Backend, tuple[str, ...]] = {
    Backend.CPU: ("libc10.so", "libtorch_cpu.so"),
    Backend.CUDA: ("libc10.so", "libtorch_cpu.so", "libc10_cuda.so", "libtorch_cuda.so"),
    Backend.ROCM: ("libc10.so", "libtorch_cpu.so", "libc10_hip.so", "libtorch_hip.so"),
}


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

    def shim_include(self, wanted_by: str) -> Path:
        """The include folder that holds the shim's headers.

        Args:
            wanted_by: who is compiled against them, for the message: `the bridge`.

        Raises:
            TorchMismatchError: torch was installed without its headers.
        """
        for folder in self.include_dirs:
            if (folder / SHIM_HEADER).is_file():
                return folder
        raise TorchMismatchError(
            f"{self.root}: torch {self.version} without its headers (include/ is missing)",
            meaning=f"{wanted_by} is compiled against torch's C interface",
            fix="install torch again: aotpack init",
        )

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
