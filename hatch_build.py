"""Hatch's hook: a wheel carries the compiled parts of the folder that `AOTPACK_COMPILED` names (`make wheel`)."""

from __future__ import annotations

import os
import platform
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CompiledParts(BuildHookInterface):  # type: ignore[type-arg]
    """Puts them where `aotpack.resources.COMPILED` looks, and names the machine that they are for."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Without the variable the wheel is as ever: for any machine, compiled by its user."""
        folder = os.environ.get("AOTPACK_COMPILED")
        if folder and version == "standard":
            build_data["force_include"][folder] = "aotpack/_data/compiled"
            build_data["pure_python"] = False
            build_data["tag"] = f"py3-none-linux_{platform.machine()}"
