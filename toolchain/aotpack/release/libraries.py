"""The libraries of `pip install aotpack[release]`, which only releasing needs."""

from __future__ import annotations

import importlib
from types import ModuleType

from aotpack.errors import BuildToolError


def need(module: str, package: str, purpose: str) -> ModuleType:
    """A module of an optional package.

    Args:
        module: its name for Python, such as `zstandard`.
        package: its name for pip.
        purpose: what wants it, such as `a tar.zst archive`.

    Raises:
        BuildToolError: it is not installed, or cannot be imported.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise BuildToolError(
            f"the Python package {package} cannot be imported: {error}",
            meaning=f"{purpose} is made by it; building and running bundles needs none of this",
            fix="pip install 'aotpack[release]'",
        ) from None
