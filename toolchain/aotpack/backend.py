"""Backends and the torch variants that serve them. Pure: no disk."""

from __future__ import annotations

from enum import Enum


class Backend(str, Enum):
    """What a bundle runs on. The value is the name used on the command line and in recipes."""

    CPU = "cpu"
    CUDA = "cuda"
    ROCM = "rocm"

    def __str__(self) -> str:
        return self.value

    @property
    def venv_name(self) -> str:
        """The folder `aotpack init` makes: `.venv`, `.venv-cuda`, `.venv-rocm`."""
        return ".venv" if self is Backend.CPU else f".venv-{self.value}"

    def served_by(self, variant: Backend) -> bool:
        """Whether a torch built for `variant` can build for this backend: a cpu bundle takes any torch."""
        return self is Backend.CPU or self is variant
