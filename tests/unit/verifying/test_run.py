"""What the program of a bundle says of itself is not believed to be of the right shape."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import msgspec
import pytest

from aotpack.backend import Backend
from aotpack.bundle.manifest import BuildHost, Bundle, BundleFloors, Torch
from aotpack.errors import DamagedError
from aotpack.package.metadata import ModelMetadata
from aotpack.verifying.run import _backend, check_run

BUNDLE = Bundle(
    aotpack="0.1.0",
    backend=Backend.CPU,
    runtime="slim",
    portable=False,
    libc="host",
    python="host",
    torch=Torch("2.13.0", Backend.CPU),
    built_on=BuildHost(system="Debian 12", machine="x86_64", glibc="2.36", compiler="g++ 12", python="3.11"),
    floors=BundleFloors(kernel="3.2.0"),
    models={"m": ModelMetadata()},
)


def launcher(folder: Path, script: str) -> Path:
    """A double of the bundle's launcher that says what it is told to."""
    (folder / "bin").mkdir()
    (folder / "bin/aotrun").write_text(f"#!{sys.executable}\n{script}\n")
    (folder / "bin/aotrun").chmod(0o755)
    return folder


@pytest.mark.parametrize(
    "said", ["''", "'null'", "'[]'", "'{}'", "'{\"checks\": {}}'", "'{\"checks\": [7]}'", "'[' * 100000", "'\\x1b[31m'"]
)
@pytest.mark.parametrize("code", [0, 1])
def test_a_report_of_other_types_is_damage(tmp_path: Path, said: str, code: int) -> None:
    folder = launcher(tmp_path, f"import sys; print({said}); sys.exit({code})")
    with pytest.raises(DamagedError, match="model m: aotrun check ended"):
        check_run(folder, BUNDLE)


def test_bytes_that_are_no_text_are_damage(tmp_path: Path) -> None:
    folder = launcher(tmp_path, r"import sys; sys.stdout.buffer.write(b'\xff\xfe')")
    with pytest.raises(DamagedError, match="said nothing that is a report"):
        check_run(folder, BUNDLE)


def test_a_report(tmp_path: Path) -> None:
    report = {"schema": 1, "ok": True, "checks": [{"name": "files", "ok": True, "detail": "all there"}]}
    folder = launcher(tmp_path, f"print({msgspec.json.encode(report).decode()!r})")
    assert check_run(folder, BUNDLE).models == {"m": report}


def test_what_stands_on_standard_input_is_not_for_the_bundle(tmp_path: Path) -> None:
    """As in `while read -r bundle; do aotpack verify --run "$bundle"; done`."""
    folder = launcher(tmp_path, "import json, sys; print(json.dumps({'checks': [], 'read': sys.stdin.read()}))")
    given, writing = os.pipe()
    own = os.dup(0)
    os.write(writing, b"the next bundle")
    os.close(writing)
    try:
        os.dup2(given, 0)
        assert check_run(folder, BUNDLE).models["m"]["read"] == ""
    finally:
        os.dup2(own, 0)
        os.close(own)
        os.close(given)


def test_a_device_that_is_none() -> None:
    assert _backend("m", "cuda") is Backend.CUDA
    with pytest.raises(DamagedError, match="its device is 'tpu'"):
        _backend("m", "tpu")
