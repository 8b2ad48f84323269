"""Files that a user gives to `aotrun infer --input`."""

from __future__ import annotations

import io
import json
import random
import zipfile
from pathlib import Path

import numpy as np
import pytest
from aotrun.arrays.dtypes import BY_NAME
from aotrun.arrays.signature import Dim, Spec
from aotrun.commands.session import read_inputs
from aotrun.errors import AotError
from aotrun.formats import zipped

from tests.fuzz.mutating import mutated_bytes, mutated_document, text_of
from tests.fuzz.running import fuzz

SPECS = [Spec("x", BY_NAME["float32"], (Dim(1, 64, b"n"), Dim(4, 4, None)), None)]
FORM = {"data": [[1.5, "NaN", 3, 4]], "shape": [1, 4], "dtype": "float32"}


def saved(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def archive(method: int, **members: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as file:
        for name, content in members.items():
            file.writestr(f"{name}.npy", content)
    return stream.getvalue()


def arrays() -> list[bytes]:
    x = np.arange(8, dtype="f4").reshape(2, 4)
    plain = [saved(x), saved(np.asfortranarray(x)), saved(x.astype(">f4")), saved(np.float32(1)), saved(x.astype("c8"))]
    zeros = saved(np.zeros((1 << 20,), "f4"))
    packed = [
        archive(zipfile.ZIP_STORED, x=plain[0]),
        archive(zipfile.ZIP_DEFLATED, x=plain[0]),
        archive(zipfile.ZIP_DEFLATED, x=plain[0], y=zeros),
        archive(zipfile.ZIP_DEFLATED, x=zeros),
    ]
    return [*plain, *packed]


@pytest.mark.parametrize("target", ["arrays", "json"])
def test_an_input_is_read_or_refused(target: str, tmp_path: Path) -> None:
    seeds = arrays()
    path = tmp_path / "input"

    def make(dice: random.Random) -> bytes:
        if target == "arrays":
            return mutated_bytes(dice, seeds)
        document = mutated_document(dice, dice.choice((FORM, {"x": FORM}, {"x": FORM, "y": FORM})))
        return text_of(document) if dice.random() < 0.8 else mutated_bytes(dice, [text_of(document)])

    def read(content: bytes) -> None:
        path.write_bytes(content)
        read_inputs([str(path)], SPECS, cast=True)

    fuzz(target, make, read, AotError, most=8 << 20)


def test_an_archive_gives_what_zipfile_gives_or_nothing() -> None:
    """What ours accepts, Python's own reader must read alike."""
    seeds = [seed for seed in arrays() if seed.startswith(b"PK")]

    def read(content: bytes) -> None:
        ours = zipped.Archive(io.BytesIO(content))
        contents = [(member.name, ours.read(member)) for member in ours.members if member.size < 1 << 16]
        with zipfile.ZipFile(io.BytesIO(content)) as file:
            for name, data in contents:
                info = next(info for info in file.infolist() if info.orig_filename == name)
                if file.infolist().count(info) == 1 and not info.flag_bits & 0x20:
                    assert file.read(info) == data, json.dumps(name)

    fuzz(
        "zip",
        lambda dice: mutated_bytes(dice, seeds),
        read,
        (zipped.BadZipError, zipfile.BadZipFile, NotImplementedError),
    )
