"""Which files of this machine stand for a GPU's driver in an empty root."""

from __future__ import annotations

from pathlib import Path

import pytest

from aotpack.libraries.recipe import Driver
from aotpack.verifying import gpu_driver
from aotpack.verifying.gpu_driver import DriverFiles, find_driver

DRIVER = Driver(devices=("/dev/nul*", "/etc/passwd", "/etc"), library="libcuda.so.1", libraries=("libcuda*",))


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a driver's library, its link, and others' libraries."""
    for name in ("libcuda.so.580", "libother.so.1", "libcudadebugger.so.1"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "libcuda.so.1").symlink_to("libcuda.so.580")
    monkeypatch.setattr(gpu_driver, "find_driver_library", lambda name: [str(tmp_path / name)])
    return tmp_path


def test_devices_are_nodes_and_libraries_lie_beside_the_main_one(installed: Path) -> None:
    """A link is shown by its name with what it points to."""
    found = find_driver(DRIVER)
    assert found.devices == (Path("/dev/null"),)
    assert found.libraries == (
        (installed / "libcuda.so.580", "/usr/local/nvidia/lib64/libcuda.so.1"),
        (installed / "libcuda.so.580", "/usr/local/nvidia/lib64/libcuda.so.580"),
        (installed / "libcudadebugger.so.1", "/usr/local/nvidia/lib64/libcudadebugger.so.1"),
    )


@pytest.mark.usefixtures("installed")
def test_without_a_device_the_libraries_are_of_no_use() -> None:
    assert (
        find_driver(Driver(devices=("/dev/no-such-gpu*",), library="libcuda.so.1", libraries=("*",))) == DriverFiles()
    )


def test_without_a_driver_devices_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_driver, "find_driver_library", lambda _name: [])
    assert find_driver(DRIVER) == DriverFiles((Path("/dev/null"),))
    assert find_driver(Driver()) == DriverFiles()
