"""What is exported: a module with example inputs."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Subject:
    """A module with example inputs, on the device it is exported for, in inference mode."""

    #: The user's file.
    path: Path
    module: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    dynamic_shapes: Any
    device: Any
    notes: list[str] = field(default_factory=list)
