"""Reading packages that a real torch made."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from aotpack.elf.cpu_features import features_used
from aotpack.package.archive import Archive
from aotpack.package.metadata import DynamicDim
from aotpack.package.model import read_model


def test_plain_pytorch(plain_mlp: Path, exported: Callable[..., Path]) -> None:
    plain, ours = read_model(plain_mlp), read_model(exported("mlp"))
    assert plain.metadata.has_signature is False
    (x,) = plain.metadata.inputs  # from the checks in its code; the range was declared from 1
    assert (x.dtype, x.dims[1]) == ("float32", 64)
    assert isinstance(x.dims[0], DynamicDim)
    assert (x.dims[0].min, x.dims[0].max) == (1, 1024)
    assert plain.metadata.torch_version is None
    assert plain.metadata.device == "cpu"
    assert plain.metadata.machine == ours.metadata.machine
    assert plain.metadata.floors == ours.metadata.floors
    # Of its code: torch's own key names what Inductor vectorised for.
    with zipfile.ZipFile(plain_mlp) as archive:
        code = next(name for name in archive.namelist() if name.endswith(".so"))
        assert set(plain.metadata.cpu_features) == features_used(io.BytesIO(archive.read(code)))
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
    assert {name.partition(".wrapper")[2] for name in read} == {"_metadata.json", ".json", ".cpp"}


def test_imports_of_the_shim(plain_mlp: Path, exported: Callable[..., Path]) -> None:
    assert "aoti_torch_cpu_addmm_out" in read_model(plain_mlp).shim_symbols
    assert "aoti_torch_cpu_mkldnn__convolution_pointwise" in read_model(exported("convnet")).shim_symbols
    assert "aoti_torch_proxy_executor_call_function" in read_model(exported("no_shim")).shim_symbols
