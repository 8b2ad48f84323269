"""Options of Inductor's that the user asks for, once the toolchain has let them through."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch._inductor import config

from ..failure import WorkerError


def ask(options: Mapping[str, Any]) -> None:
    """Set them for this process. Raises WorkerError for one that this torch does not have."""
    for key, value in options.items():
        *groups, name = key.split(".")
        holder: Any = config
        for group in groups:
            holder = getattr(holder, group, None)
        if not hasattr(holder, name):
            raise WorkerError(
                f"--option {key}: torch {torch.__version__} has no such option",
                meaning="Inductor's options differ from release to release",
                fix="leave it out, or export with another torch: aotpack init --torch VERSION",
                kind="usage",
            )
        setattr(holder, name, value)
