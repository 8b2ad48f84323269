"""Options of Inductor's: which this torch has, and those that the user asks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch._inductor import config

from .failure import WorkerError


def is_known(key: str) -> bool:
    """Whether this torch has the option: a few came after 2.9."""
    *groups, name = key.split(".")
    return hasattr(_group(groups), name)


def ask(options: Mapping[str, Any]) -> None:
    """Set them, which the toolchain has let through, for this process. Raises WorkerError for one that is not known."""
    for key, value in options.items():
        if not is_known(key):
            raise WorkerError(
                f"--option {key}: torch {torch.__version__} has no such option",
                meaning="Inductor's options differ from release to release",
                fix="leave it out, or export with another torch: aotpack init --torch VERSION",
                kind="usage",
            )
        *groups, name = key.split(".")
        setattr(_group(groups), name, value)


def _group(names: Sequence[str]) -> Any:
    """What holds the options of a group; None where there is none."""
    holder: Any = config
    for name in names:
        holder = getattr(holder, name, None)
    return holder
