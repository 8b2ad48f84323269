"""What a bundle is made of."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from aotpack.elf.edits import ElfEdit
from aotpack.runtime.slim_weights import Packing


class Part(str, Enum):
    """What a file is for; sizes are shown by part."""

    LAUNCHER = "launcher"
    LIBC = "libc"
    RUNTIME = "runtime"
    DATA = "data"
    BRIDGE = "bridge"
    PYTHON = "python"
    RUNNER = "runner"
    MODEL = "model"
    ASSETS = "assets"
    HEADERS = "headers"
    LICENSES = "licenses"
    DESCRIPTION = "description"


@dataclass(frozen=True)
class Copy:
    """A file of the build machine."""

    source: Path
    edit: ElfEdit = field(default_factory=ElfEdit)
    #: Must stay bit for bit what the vendor shipped.
    pristine: bool = False
    #: The content that the vendor's wheel recorded, where it did.
    wheel_sha256: str | None = None


@dataclass(frozen=True)
class Link:
    """A symbolic link: relative within a portable bundle, absolute to the venv in a development one."""

    target: str


@dataclass(frozen=True)
class Text:
    """Generated content."""

    data: bytes


@dataclass(frozen=True)
class Member:
    """An entry of a .pt2 archive."""

    archive: Path
    name: str
    edit: ElfEdit = field(default_factory=ElfEdit)
    executable: bool = False
    #: First byte and size of the parts that are taken, in ascending order; None for all of it.
    ranges: tuple[tuple[int, int], ...] | None = None
    #: Weights in what was taken to put into another order.
    packings: tuple[Packing, ...] = ()


@dataclass(frozen=True)
class Entry:
    """One file of the bundle to be."""

    destination: str
    part: Part
    #: Which ELF needs it or which line of the recipe names it.
    reason: str
    content: Copy | Link | Text | Member
