"""Python packages that only some commands need, imported when they run."""

from __future__ import annotations

import importlib
from types import ModuleType

from aotpack.errors import BuildToolError


def need(module: str, package: str, purpose: str, install: str = "aotpack[release]") -> ModuleType:
    """A module of such a package.

    Args:
        module: its name for Python, such as `zstandard`.
        package: its name for pip.
        purpose: what is made by it, such as `a tar.zst archive`.
        install: what pip is to install.

    Raises:
        BuildToolError: it is not installed, or cannot be imported.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise BuildToolError(
            f"the Python package {package} cannot be imported: {error}",
            meaning=f"{purpose} is made by it",
            fix=f"pip install '{install}'",
        ) from None
