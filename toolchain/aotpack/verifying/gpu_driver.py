"""The GPU driver of this machine, as far as a program in an empty root needs it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from aotpack.libraries.recipe import Driver
from aotpack.patterns import matches_any
from aotpack_doctor.reading.gpus import find_driver_library

#: Where its libraries are shown inside: a folder in which the bridge looks for them by itself.
INSIDE = "/usr/local/nvidia/lib64"


@dataclass(frozen=True)
class DriverFiles:
    """What belongs to the driver.

    Attributes:
        devices: device nodes; none where there is no such GPU.
        libraries: (file, path inside the root) of its libraries.
    """

    devices: tuple[Path, ...] = ()
    libraries: tuple[tuple[Path, str], ...] = ()


def find_driver(driver: Driver) -> DriverFiles:
    """The files of this machine that a recipe's driver stands for."""
    nodes = (node for pattern in driver.devices for node in sorted(Path("/").glob(pattern.lstrip("/"))))
    devices = tuple(node for node in nodes if node.is_char_device())
    found = find_driver_library(driver.library) if driver.library else []
    if not devices or not found:
        return DriverFiles(devices)
    folder = Path(found[0]).parent
    files = (file for file in sorted(folder.iterdir()) if matches_any(file.name, driver.libraries))
    return DriverFiles(devices, tuple((file.resolve(), f"{INSIDE}/{file.name}") for file in files))
