"""Weights quantised in the module stay so in the package, which says in which precision layers are computed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from aotpack.backend import Backend
from aotpack.building.build import build
from aotpack.building.request import BuildRequest
from aotpack.errors import UsageError
from aotpack.exporting.driving import ExportRequest, export
from aotpack.package.metadata import precision_lines
from aotpack.package.model import read_model
from aotpack.progress.reporter import Reporter
from aotpack.runtime.slim_table import judge
from tests.support.packages import export_workers
from tests.support.packages.exporting import ROOT, SOURCES, Silent, cached_export

#: What torchao's int8 weights come to in a graph, without torchao.
BY_HAND = """
import torch
from torch import nn

class Bytes(nn.Module):
    def __init__(self, shape):
        super().__init__()
        weight = torch.randn(shape)
        self.register_buffer("scale", weight.abs().amax(1, keepdim=True) / 127)
        self.register_buffer("bytes", (weight / self.scale).round().to(torch.int8))

    def forward(self):
        return self.bytes.float() * self.scale

class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.words, self.layer, self.last = Bytes((500, 256)), Bytes((512, 256)), nn.Linear(512, 64)

    def forward(self, words):
        x = nn.functional.embedding(words, self.words())
        return self.last(torch.relu(nn.functional.linear(x, self.layer())))

def model():
    torch.manual_seed(0)
    return Model().eval(), (torch.randint(0, 500, (2, 9)),)
"""


def test_bytes_stay_bytes_and_the_package_says_so(backend_venv: Path, tmp_path: Path) -> None:
    source = tmp_path / "by_hand.py"
    source.write_text(BY_HAND)
    package = cached_export(backend_venv, source)
    model = read_model(package)
    (blob,) = [entry for entry in zipfile.ZipFile(package).infolist() if entry.filename.endswith(".blob")]
    bytes_, floats = 500 * 256 + 512 * 256, 4 * (500 + 512 + 512 * 64 + 64)
    assert blob.file_size < 1.1 * (bytes_ + floats)
    assert "aoti_torch_cpu__weight_int8pack_mm" in model.imports
    assert judge(model.imports).served
    lines = precision_lines(model.metadata.precision)
    assert (
        "1 of 2 linear layers int8 weights, 1 float32" in lines
        or "1 of 2 linear layers float32, 1 int8 weights" in lines
    )
    assert "1 of 1 embedding int8 weights" in lines


#: What PT2E makes of convolutions, without torchao. Pictures are grey: they have one channel.
GREY = """
import torch
from torch import nn
from torch.ao.quantization.fx import _decomposed

bytes_ = torch.ops.quantized_decomposed

class Bytes(nn.Module):
    def __init__(self, shape):
        super().__init__()
        weight = torch.randn(shape)
        self.bias = nn.Parameter(torch.randn(shape[0]))
        self.register_buffer("scales", weight.abs().amax((1, 2, 3)) / 127)
        self.register_buffer("zeros", torch.zeros(shape[0], dtype=torch.int64))
        self.register_buffer("weight", (weight / self.scales[:, None, None, None]).round().to(torch.int8))

    def forward(self, x):
        how = (0.04, 120, 0, 255, torch.uint8)
        x = bytes_.dequantize_per_tensor(bytes_.quantize_per_tensor(x, *how), *how)
        weight = bytes_.dequantize_per_channel(self.weight, self.scales, self.zeros, 0, -128, 127, torch.int8)
        return nn.functional.conv2d(x, weight, self.bias)

class Grey(nn.Module):
    def __init__(self):
        super().__init__()
        self.light, self.last = nn.Conv2d(1, 1, 1), nn.Linear(4 * 7 * 7, 512)
        self.first, self.second = Bytes((8, 1, 3, 3)), Bytes((4, 8, 3, 3))

    def forward(self, x):
        x = torch.relu(self.light(x))
        x = self.second(nn.functional.max_pool2d(torch.tanh(self.first(x)), 2))
        return self.last(torch.tanh(x).flatten(1))

def model():
    torch.manual_seed(0)
    return Grey().eval(), (torch.randn(3, 1, 20, 20),), ({0: torch.export.Dim("pictures", min=1, max=64)},)
"""


def test_many_grey_pictures(backend_venv: Path, tmp_path: Path) -> None:
    """Verified: results have their channels last, and what follows reads them so. Slim has the floats' weights in an
    order of its own, and the bytes' beside them."""
    source = tmp_path / "grey.py"
    source.write_text(GREY)
    package = cached_export(backend_venv, source)
    lines = precision_lines(read_model(package).metadata.precision)
    assert sorted(lines) == ["1 of 1 linear layer float32", "2 of 3 convolutions int8, 1 float32"], lines
    for runtime in ("slim", "full"):
        bundle = tmp_path / runtime
        models = (("grey", package),)
        build(
            BuildRequest(backend=Backend.CPU, output=bundle, models=models, runtime=runtime, venv=backend_venv),
            Reporter(),
        )
        subprocess.run([bundle / "bin" / "aotrun", "check", "--model", "grey"], check=True)


NARROWED = """
import torch
from torch import nn

def floats():
    torch.manual_seed(0)
    return nn.Linear(64, 16).eval(), (torch.ones(2, 64),)

def halves():
    module, (x,) = floats()
    return module.bfloat16(), (x.bfloat16(),)

def others():
    return nn.Linear(8, 16).eval(), (torch.ones(2, 8),)
"""


def test_against_another_module(backend_venv: Path, backend_python: Path, tmp_path: Path) -> None:
    source = tmp_path / "narrowed.py"
    source.write_text(NARROWED)
    command = [sys.executable, "-m", "aotpack", "export", f"{source}:halves", "--output", tmp_path / "halves.pt2"]
    command += ["--cpu-isa", "native", "--venv", backend_venv, "--json", "--against"]
    done = subprocess.run([*command, f"{source}:floats"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (entry,) = [entry for entry in json.loads(done.stdout)["comparisons"] if entry["sizes"] == "against floats"]
    assert 0 < entry["relative"] < 0.02
    request = ExportRequest(source, "halves", tmp_path / "m.pt2", cpu_isa="native", against=(str(source), "", "others"))
    with pytest.raises(UsageError) as caught:
        export(request, backend_python, Silent(), begin=export_workers.forked)
    assert "inputs of [2, 8] where the exported module has [2, 64]" in caught.value.what
    assert not (tmp_path / "m.pt2").exists()


#: Functions of quantised_models.py: what their packages say of linear layers, or of convolutions.
MODELS = {
    "linear_static": "3 of 3 linear layers int8",
    "linear_dynamic": "3 of 3 linear layers int8",
    "small_dynamic": "1 of 1 linear layer int8",
    "linear_trained": "3 of 3 linear layers int8",
    "convolutions_static": "4 of 4 convolutions int8",
    "convolutions_trained": "4 of 4 convolutions int8",
    "added_static": "2 of 2 convolutions int8",
    "added_dynamic": "1 of 1 linear layer int8",
    "int8_weights": "3 of 3 linear layers int8 weights",
    "int8_weights_bfloat16": "3 of 3 linear layers int8 weights",
    "int8_dynamic": "3 of 3 linear layers int8",
    "intx_weights": "3 of 3 linear layers int8 weights",
    "float8_weights": "3 of 3 linear layers float8_e4m3fn weights",
    "int8_embedding": "1 of 1 embedding int8 weights",
    "mixed": "1 of 3 linear layers",
}


@pytest.fixture(scope="module")
def torchao(backend_python: Path) -> Path:
    """A folder with torchao, which needs nothing but torch."""
    folder = ROOT / ".cache" / "quantised-packages"
    if not (folder / "torchao").is_dir():
        pip = [backend_python, "-m", "pip", "install", "--quiet", "--no-deps", "--target", folder]
        subprocess.run([*pip, "torchao==0.18.0"], check=True)
    return folder


@pytest.mark.zoo
@pytest.mark.parametrize("name", MODELS)
def test_what_torchao_quantises_runs_slim(name: str, torchao: Path, tmp_path: Path) -> None:
    package, bundle = tmp_path / f"{name}.pt2", tmp_path / name
    tool = [sys.executable, "-m", "aotpack"]
    environment = {**os.environ, "AOTPACK_QUANTISED_PACKAGES": str(torchao)}
    source = f"{SOURCES / 'quantised_models.py'}:{name}"
    for command in (
        ["export", source, "--output", package, "--verify", "--cpu-isa", "native"],
        ["build", "--model", package, "--output", bundle, "--runtime", "slim"],
        ["verify", bundle, "--run"],
    ):
        done = subprocess.run([*tool, *command], capture_output=True, text=True, check=False, env=environment)
        assert done.returncode == 0, done.stderr
    metadata = read_model(package).metadata
    assert any(MODELS[name] in line for line in precision_lines(metadata.precision))
    multiplies_bytes = any(layer.precision == "int8" for layer in metadata.precision)
    assert any("saturate on CPUs without VNNI" in note for note in metadata.notes) == multiplies_bytes


FOUR_BITS = """
import torch

class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        weight = torch.randint(0, 16, (64, 64), dtype=torch.int32)
        self.register_buffer("packed", torch.ops.aten._convert_weight_to_int4pack_for_cpu(weight, 1))
        self.register_buffer("pairs", torch.rand(2, 64, 2))

    def forward(self, x):
        return torch.ops.aten._weight_int4pack_mm_for_cpu(x, self.packed, 32, self.pairs)

def model():
    torch.manual_seed(0)
    return Model().eval(), (torch.randn(2, 64),)
"""


def infer(bundle: Path, given: Path, kind: str, *options: str | Path) -> subprocess.CompletedProcess[str]:
    """An answer of a bundle; libtorch is made to take this CPU for a kind that it may have more than."""
    command = [bundle / "bin" / "aotrun", "infer", "--input", given, *options]
    environment = {"ATEN_CPU_CAPABILITY": kind}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


@pytest.mark.skipif("avx512bw" not in Path("/proc/cpuinfo").read_text(), reason="packs in AVX-512's order")
def test_four_bits_run_where_their_order_is_read_and_nowhere_else(backend_venv: Path, tmp_path: Path) -> None:
    """torch packs four bits as its kernel of this CPU reads them, and reads them so wherever it runs."""
    source = tmp_path / "four_bits.py"
    source.write_text(FOUR_BITS)
    given = tmp_path / "given.json"
    given.write_text(json.dumps({"data": [[i % 7 - 3 for i in range(64)]] * 2, "shape": [2, 64], "dtype": "float32"}))
    tool = [sys.executable, "-m", "aotpack"]
    answers = {}
    for order in ("AVX512", "AVX2"):
        environment = {**os.environ, "ATEN_CPU_CAPABILITY": order.lower()}
        package = tmp_path / f"{order}.pt2"
        export = [*tool, "export", f"{source}:model", "--output", package, "--cpu-isa", "avx2", "--venv", backend_venv]
        subprocess.run(export, check=True, env=environment)
        metadata = read_model(package).metadata
        assert metadata.int4_order == order
        assert any("weights of four bits are in torch's order for" in note for note in metadata.notes)
        full = tmp_path / f"{order}-full"
        build = [*tool, "build", "--venv", backend_venv, "--model", package, "--output"]
        subprocess.run([*build, full, "--runtime", "full"], check=True)
        good, bad = infer(full, given, order.lower()), infer(full, given, "avx2" if order == "AVX512" else "avx512")
        assert good.returncode == 0, good.stderr
        assert bad.returncode == 7
        assert f"weights of four bits in torch's order for {order}; libtorch takes this CPU for" in bad.stderr
        answers[order] = good.stdout
        slim = [*build, tmp_path / f"{order}-slim", "--runtime", "slim"]
        done = subprocess.run(slim, capture_output=True, text=True, check=False)
        assert done.returncode == (0 if order == "AVX512" else 5), done.stderr
    slim_answer = infer(tmp_path / "AVX512-slim", given, "avx2")
    assert slim_answer.returncode == 0, slim_answer.stderr
    refused = infer(tmp_path / "AVX512-slim", given, "avx2", "--model", tmp_path / "AVX2.pt2")
    assert refused.returncode == 5
    assert "weights of four bits in torch's order for AVX2" in refused.stderr
    one, other, third = (values(text) for text in (*answers.values(), slim_answer.stdout))
    assert one == pytest.approx(other, abs=1e-3)
    assert one == pytest.approx(third, abs=1e-3)


def values(text: str) -> list[float]:
    """The numbers of an answer with one output."""
    (output,) = json.loads(text)["outputs"].values()
    numbers: list[float] = output["data"]
    return numbers
