"""Reading packages that a real torch made."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from aotpack.package.archive import Archive
from aotpack.package.model import read_model


def test_plain_pytorch(plain_mlp: Path, exported: Callable[..., Path]) -> None:
    plain, ours = read_model(plain_mlp), read_model(exported("mlp"))
    assert plain.metadata.has_signature is False
    assert plain.metadata.inputs == ()
    assert plain.metadata.torch_version is None
    assert plain.metadata.device == "cpu"
    assert plain.metadata.machine == ours.metadata.machine
    assert plain.metadata.floors == ours.metadata.floors
    # torch names instruction sets, our own metadata the features that the compiler was allowed: the latter say more.
    assert set(plain.metadata.cpu_features) <= set(ours.metadata.cpu_features)
    assert plain.shim_symbols
    assert [name for _, name in plain.members] == ["model.so"]


def test_weights_are_never_read(
    plain_mlp: Path, exported: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    read = []

    def recording(self: Archive, name: str) -> bytes:
        read.append(name)
        return original(self, name)

    original = Archive.read
    monkeypatch.setattr(Archive, "read", recording)
    for package in (plain_mlp, exported("no_shim")):
        read_model(package)
    assert {name.partition(".wrapper")[2] for name in read} == {"_metadata.json", ".json"}


def test_imports_of_the_shim(plain_mlp: Path, exported: Callable[..., Path]) -> None:
    assert "aoti_torch_cpu_addmm_out" in read_model(plain_mlp).shim_symbols
    assert "aoti_torch_cpu_convolution" in read_model(exported("convnet")).shim_symbols
    assert "aoti_torch_proxy_executor_call_function" in read_model(exported("no_shim")).shim_symbols
