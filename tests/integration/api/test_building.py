"""From two functions of one file to a bundle in one step, and its models in this process."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import aotpack

SOURCE = """
from pathlib import Path
import torch

WEIGHTS = Path(__file__).with_name("weights.pt")


class Scale(torch.nn.Module):
    def __init__(self, inverse):
        super().__init__()
        self.factors = torch.nn.Parameter(torch.load(WEIGHTS))
        self.inverse = inverse

    def forward(self, x):
        return x / self.factors if self.inverse else x * self.factors


def encode():
    return Scale(False), (torch.ones(2, 3),), ({0: torch.export.Dim("rows", max=64)},)


def decode():
    return Scale(True), (torch.ones(2, 3),), ({0: torch.export.Dim("rows", max=64)},)
"""


def weights(python: Path, folder: Path, *values: float) -> None:
    program = (
        f"import torch; torch.save(torch.tensor({list(values)!r}, dtype=torch.float32), {str(folder / 'weights.pt')!r})"
    )
    subprocess.run([str(python), "-c", program], check=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, backend_python: Path) -> Path:
    folder = tmp_path_factory.mktemp("sources")
    (folder / "m.py").write_text(SOURCE)
    weights(backend_python, folder, 1, 2, 4)
    (folder / "labels.txt").write_text("speech\nnone\n")
    (folder / "words" / "deep").mkdir(parents=True)
    (folder / "words" / "deep" / "vocab.json").write_bytes(bytes(range(256)))
    return folder


def build(folder: Path, venv: Path, output: Path) -> dict[str, object]:
    """By the command line, which calls what Python calls."""
    command = [sys.executable, "-m", "aotpack", "build", "--model", f"encode={folder}/m.py:encode"]
    command += ["--model", f"{folder}/m.py:decode", "--output", str(output), "--portable", "--verify", "--json"]
    command += ["--option", "epilogue_fusion=false", "--cpu-isa", "avx2", "--venv", str(venv)]
    command += ["--asset", str(folder / "labels.txt"), "--asset", f"tokenizer={folder / 'words'}"]
    command += ["--metadata", "sample_rate=16000", "--metadata", "voice=on the line", "--metadata", "loud=true"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert isinstance(document, dict)
    return {**document, "told": done.stderr}


@pytest.fixture(scope="module")
def bundle(folder: Path, backend_venv: Path) -> aotpack.Bundle:
    document = build(folder, backend_venv, folder / "dist")
    assert document["changed"] is True
    assert document["models"] == ["decode", "encode"]
    return aotpack.Bundle(folder / "dist")


def test_models_take_what_python_has(bundle: aotpack.Bundle) -> None:
    encode, decode = bundle.load("encode"), aotpack.load(bundle, model="decode")
    x = np.array([[1, 1, 1], [1, 2, 3]], np.float32)
    y = encode(x)
    np.testing.assert_array_equal(np.asarray(y), x * np.array([1, 2, 4], np.float32))
    np.testing.assert_array_equal(np.asarray(decode(y)), x)
    assert encode([[1, 1, 1]]).tolist() == [[1, 2, 4]]
    assert encode.run(x=((1, 1, 1),)).outputs["output0"].tolist() == [[1, 2, 4]]


def test_what_does_not_fit_is_an_error_of_aotpacks(bundle: aotpack.Bundle) -> None:
    model = bundle.load("encode")
    for call in (lambda: model([[1, 2]]), lambda: model.run([[1, 2]]), lambda: model("x"), bundle.load):
        with pytest.raises(aotpack.UsageError) as caught:
            call()
        assert all((caught.value.what, caught.value.meaning, caught.value.fix))
        assert caught.value.exit_code == 2


def test_assets_and_facts_travel_with_every_model(bundle: aotpack.Bundle, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere"
    shutil.copytree(bundle.path, moved, symlinks=True)
    for name in ("encode", "decode"):
        model = aotpack.load(moved, model=name)
        assert model.asset("labels.txt") == b"speech\nnone\n"
        assert model.asset("tokenizer/deep/vocab.json") == bytes(range(256))
        assert model.metadata == {"sample_rate": 16000, "voice": "on the line", "loud": True}
        for hostile in ("../bundle.json", "/etc/passwd", "tokenizer/../labels.txt", "", "none", "a\0b", "tokenizer"):
            with pytest.raises(aotpack.UsageError):
                model.asset(hostile)
    listed = {record.path: record.part for record in bundle.description.files}
    assert listed["assets/labels.txt"] == listed["assets/tokenizer/deep/vocab.json"] == "assets"
    (moved / "assets" / "labels.txt").write_text("other")
    with pytest.raises(aotpack.DamagedError, match=r"assets/labels\.txt"):
        aotpack.verify(moved)


def test_a_bundle_is_packed_and_verified(bundle: aotpack.Bundle, tmp_path: Path) -> None:
    assert bundle.verify().digest == bundle.digest
    made = bundle.pack("tar", tmp_path / "both.tar")
    assert made.size == (tmp_path / "both.tar").stat().st_size


def test_only_what_changed_is_made_again(
    bundle: aotpack.Bundle, folder: Path, backend_venv: Path, backend_python: Path
) -> None:
    again = build(folder, backend_venv, bundle.path)
    assert again["changed"] is False
    assert "exporting" not in str(again["told"])
    (folder / "labels.txt").write_text("none\nspeech\n")
    assert build(folder, backend_venv, bundle.path)["changed"] is True
    assert aotpack.load(bundle, model="decode").asset("labels.txt") == b"none\nspeech\n"
    weights(backend_python, folder, 1, 2, 8)  # no module of Python's, but a file that the function reads
    changed = build(folder, backend_venv, bundle.path)
    assert changed["changed"] is True
    assert "exporting" in str(changed["told"])
    assert aotpack.load(bundle, model="encode")([[1, 1, 1]]).tolist() == [[1, 2, 8]]
