"""oneDNN, which the kernels are measured against, from its PyPI packages."""

from __future__ import annotations

import importlib.metadata
from dataclasses import dataclass
from pathlib import Path

from aotpack.errors import BuildToolError

_ONEDNN = "onednn-cpu-gomp"
_ONEDNN_DEVEL = "onednn-devel-cpu-gomp"


@dataclass(frozen=True)
class OneDnn:
    """oneDNN as PyPI ships it."""

    library: Path
    include: Path
    version: str


def find_onednn() -> OneDnn:
    """Library and headers from their packages.

    Raises:
        BuildToolError: they are not installed.
    """
    library, version = _package_file(_ONEDNN, "libdnnl.so.3")
    header, _ = _package_file(_ONEDNN_DEVEL, "dnnl.h")
    # Two files bear the name; the outer one forwards to oneapi/dnnl/dnnl.h.
    include = header.parent if header.parent.name == "include" else header.parents[2]
    return OneDnn(library, include, version)


def _package_file(package: str, name: str) -> tuple[Path, str]:
    try:
        distribution = importlib.metadata.distribution(package)
    except importlib.metadata.PackageNotFoundError:
        distribution = None
    for file in (distribution.files if distribution else None) or ():
        path = Path(str(distribution.locate_file(file))).resolve() if distribution else Path()
        if file.name == name and path.is_file():
            return path, distribution.version if distribution else ""
    raise BuildToolError(
        f"{name} is missing: the Python package {package} is not installed beside aotpack",
        meaning="the kernels of the slim runtime are measured against it",
        fix=f"pip install {_ONEDNN} {_ONEDNN_DEVEL}",
    )
