"""Packages (.pt2) of anybody, as `aotpack build` and `aotrun` read them."""

from __future__ import annotations

import contextlib
import io
import json
import random
import sysconfig
import zipfile
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from aotrun.errors import AotError
from aotrun.library.sample import read_sample

from aotpack.elf.facts import parse_elf
from aotpack.errors import AotpackError
from aotpack.package.metadata import DynamicDim, ModelMetadata, TensorSpec
from aotpack.package.model import read_model
from aotpack_doctor.base import elf
from tests.fuzz.mutating import mutated_bytes, mutated_document, text_of
from tests.fuzz.running import fuzz

FOLDER = "m/data/aotinductor/model/abc.wrapper"
OWN = ModelMetadata(
    inputs=(TensorSpec("x", "float32", (DynamicDim("batch", 1, 8), 4)),),
    outputs=(TensorSpec("y", "float32", (None, 2)),),
    cpu_features=("avx2",),
    aotpack_version="0.1.0",
)
NODES = {"nodes": [{"node": {"target": "aten::_linalg_svd", "inputs": []}, "outputs": []}]}


def small_library() -> bytes:
    """The smallest shared library that Python brings."""
    libraries = list(Path(sysconfig.get_config_var("DESTSHARED") or "/nonexistent").glob("*.so"))
    return min(libraries or [Path(msgspec._core.__file__)], key=lambda path: path.stat().st_size).read_bytes()


def sample() -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **{"in.x": np.ones((1, 4), "f4"), "out.y": np.ones((1, 2), "f4")})
    return stream.getvalue()


def package(library: bytes, metadata: Any, nodes: Any) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("m/archive_format", b"pt2")
        archive.writestr(f"{FOLDER}.so", library)
        archive.writestr(f"{FOLDER}_metadata.json", text_of(metadata))
        archive.writestr(f"{FOLDER}_weights.blob", b"w" * 64)
        archive.writestr(f"{FOLDER}.json", text_of(nodes))
        archive.writestr("m/aotpack/sample.npz", sample())
    return stream.getvalue()


def test_a_package_is_read_or_refused(tmp_path: Path) -> None:
    library = small_library()
    own = json.loads(msgspec.json.encode(OWN))
    keys = {"AOTI_DEVICE_KEY": "cpu", "AOTI_MACHINE": "x86_64", "AOTI_CPU_ISA": "AVX2"}
    seeds = [package(library, {**keys, "aotpack": json.dumps(own)}, NODES), package(library, keys, NODES)]
    path = tmp_path / "m.pt2"

    def make(dice: random.Random) -> bytes:
        kind = dice.randrange(4)
        if kind == 0:
            return mutated_bytes(dice, seeds)
        if kind == 1:
            return package(library, {**keys, "aotpack": json.dumps(mutated_document(dice, own))}, NODES)
        if kind == 2:
            return package(library, mutated_document(dice, keys), mutated_document(dice, NODES))
        return package(mutated_bytes(dice, [library]), keys, NODES)

    def read(content: bytes) -> None:
        path.write_bytes(content)
        with contextlib.suppress(AotError):
            read_sample(str(path))
        read_model(path)

    fuzz("packages", make, read, AotpackError)


def test_a_library_is_read_or_refused(tmp_path: Path) -> None:
    seeds = [small_library()]
    path = tmp_path / "lib.so"

    def make(dice: random.Random) -> bytes:
        content = mutated_bytes(dice, seeds)
        if dice.random() < 0.7:  # where the headers are
            return mutated_bytes(dice, [seeds[0][:1024]]) + seeds[0][1024:]
        return content

    def read(content: bytes) -> None:
        path.write_bytes(content)
        with contextlib.suppress(ValueError):
            parse_elf(io.BytesIO(content))
        with contextlib.suppress(ValueError):
            elf.shim_names(str(path))
        elf.read_elf(str(path))

    fuzz("libraries", make, read, ValueError)
