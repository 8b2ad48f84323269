"""Compiled parts of a wheel: found by what they follow from, and by nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from aotpack import resources
from aotpack.errors import BuildToolError
from aotpack.native import carried, launcher


@pytest.fixture
def compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(resources, "COMPILED", tmp_path / "compiled")
    return tmp_path / "compiled"


def test_a_checkout_carries_nothing() -> None:
    assert not resources.COMPILED.exists()
    assert carried.find_carried("slim", carried.carried_key(["any"])) is None


def test_a_part_of_the_same_sources_and_machine(compiled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = carried.carried_key(["source", b"content"])
    (compiled / "slim" / key).mkdir(parents=True)
    assert carried.find_carried("slim", key) == compiled / "slim" / key
    assert carried.find_carried("hash", key) is None
    assert carried.find_carried("slim", carried.carried_key(["source", b"changed"])) is None
    monkeypatch.setattr(carried.platform, "machine", lambda: "aarch64")
    assert carried.find_carried("slim", carried.carried_key(["source", b"content"])) is None


def test_the_launcher_of_a_wheel_needs_no_compiler(compiled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "/none/cc")
    with pytest.raises(BuildToolError):
        launcher.build_launcher()
    key = carried.carried_key(launcher._parts("launcher", launcher.FLAGS)[1])
    (compiled / "launcher" / key).mkdir(parents=True)
    assert launcher.build_launcher() == compiled / "launcher" / key / "aotrun"
