"""Inputs of a plan, made by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from aotpack.backend import Backend
from aotpack.bundle.flat_layout import FlatLayout
from aotpack.bundle.inputs import BuildInputs
from aotpack.environment.torch import TorchInfo
from aotpack.libraries.closure import Closure

TORCH = TorchInfo(
    version="2.13.0+cpu",
    variant=Backend.CPU,
    cuda=None,
    hip=None,
    cxx11_abi=True,
    root=Path("/torch"),
    lib_dirs=(Path("/torch/lib"),),
    include_dirs=(Path("/torch/include"),),
    python=None,
    python_version=None,
    site_packages=None,
    source="--venv",
)


def build_inputs(**given: Any) -> BuildInputs:
    """Those of a portable bundle without models or libraries, but for what is given; a recipe must be."""
    plain: dict[str, Any] = {
        "torch": TORCH,
        "compiler": "g++ 12.2.0",
        "portable": True,
        "libc": "bundled",
        "runtime": "full",
        "runtime_reason": "as asked",
        "libraries": Closure(()),
        "own_libraries": frozenset(),
        "launcher": Path("/cache/aotrun"),
        "layout": FlatLayout(),
    }
    return BuildInputs(**{**plain, **given})
