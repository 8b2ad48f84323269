"""Whose torch a process has, told from files: nothing here imports one."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from aotpack.exporting.in_process import own_environment
from tests.support.doubles.torch_trees import make_torch_venv


@pytest.fixture
def prefix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An environment with a torch, which this process seems to run in and to have imported."""
    for name in ("AOTPACK_VENV", "LIBTORCH"):
        monkeypatch.delenv(name, raising=False)
    venv = tmp_path / "venv"
    init = make_torch_venv(venv) / "__init__.py"
    monkeypatch.setattr(sys, "prefix", str(venv))
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(__file__=str(init)))  # type: ignore[arg-type]
    return venv


def test_what_is_imported_here_is_built_from(prefix: Path) -> None:
    assert own_environment() == prefix


@pytest.mark.parametrize("name", ["AOTPACK_VENV", "LIBTORCH"])
def test_what_is_named_comes_first(prefix: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "/elsewhere")
    assert own_environment() is None


def test_a_torch_of_elsewhere_is_looked_for_as_everywhere(prefix: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(__file__="/other/torch/__init__.py"))  # type: ignore[arg-type]
    assert own_environment() is None


def test_without_torch_nothing_is_ours(prefix: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch")
    assert own_environment() is None
