"""Packages for several of NVIDIA's GPUs, compiled by a real CUDA torch (make test-cuda-wheel), without a GPU.

torch, Triton and nvcc are the real ones, the GPU is a double (`tests/support/doubles/gpu_worker.py`): what is in a
package is read back and built into a bundle. That it computes what it should takes a GPU.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aotpack.backend import Backend
from aotpack.building.build import build
from aotpack.building.request import BuildRequest
from aotpack.environment.search import find_torch
from aotpack.errors import AotpackError, BuildToolError, TorchMismatchError
from aotpack.exporting import driving
from aotpack.exporting.driving import ExportReport, ExportRequest
from aotpack.gpu import kernels
from aotpack.package.model import read_model
from aotpack.progress.reporter import Reporter
from tests.support.doubles import gpu_worker
from tests.support.packages.exporting import ROOT, cached_export

pytestmark = [pytest.mark.cuda_wheel, pytest.mark.timeout(3600)]

#: The first that compiles for other GPUs than the one it sees.
VERSION = "2.14.1"
MODELS = """
import torch
from torch import nn

class Small(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.linear = nn.Linear(16, 32)

    def forward(self, x):
        return torch.softmax(torch.relu(self.linear(x)) * 2 + 1, -1)

def model():
    return Small().eval(), (torch.ones(4, 16),)
"""


@pytest.fixture(scope="module")
def venv() -> Path:
    """An environment as `aotpack init` makes it."""
    if shutil.which("nvcc") is None:
        pytest.skip("no nvcc, which puts code for several GPUs together")
    place = ROOT / f".venv-cuda-{VERSION}"
    done = subprocess.run(
        [sys.executable, "-m", "aotpack", "init", "--backend", "cuda", "--torch", VERSION, "--venv", place],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT / "toolchain",
    )
    assert done.returncode == 0, done.stderr
    return place


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("archs") / "small.py"
    file.write_text(MODELS)
    return file


@pytest.fixture(scope="module")
def export(venv: Path, source: Path) -> Callable[..., ExportReport]:
    def run(*archs: str, begin: Any = gpu_worker.begin, **options: Any) -> ExportReport:
        output = source.with_name(f"model-{'-'.join(archs)}.pt2")
        request = ExportRequest(source, "model", output, device="cuda", archs=archs, **options)
        python = driving.interpreter(find_torch(Backend.CUDA, venv=venv))
        return driving.export(request, python, Reporter(), begin=begin)

    return run


@pytest.fixture(scope="module")
def package(export: Callable[..., ExportReport]) -> ExportReport:
    return export("sm_80", "sm_90")


def listed(venv: Path, fatbin: Path, kind: str) -> list[str]:
    """What NVIDIA's own tool, which Triton brings along, finds in a file: `sm_80` of each cubin, or PTX."""
    (tool,) = venv.glob("lib/python*/site-packages/triton/backends/nvidia/bin/cuobjdump")
    done = subprocess.run([tool, f"--list-{kind}", fatbin], capture_output=True, text=True, check=True)
    return sorted(re.findall(r"\.(sm_\w+)\.(?:cubin|ptx)$", done.stdout, re.MULTILINE))


def test_the_package_tells_what_its_kernels_have_code_for(package: ExportReport, venv: Path, tmp_path: Path) -> None:
    archs = ("sm_80", "compute_80", "sm_90")
    assert package.metadata.gpu_archs == archs
    model = read_model(package.output)
    assert model.metadata.gpu_archs == archs
    fatbins = [entry for entry, _ in model.members if entry.endswith(".fatbin")]
    assert fatbins
    with zipfile.ZipFile(package.output) as archive:
        for entry in fatbins:
            path = Path(archive.extract(entry, tmp_path))
            assert kernels.architectures(path.name, path.read_bytes()) == archs
            assert listed(venv, path, "elf") == ["sm_80", "sm_90"]
            assert listed(venv, path, "ptx") == ["sm_80"]


def test_without_being_asked_there_is_code_for_the_gpu_that_is_there(export: Callable[..., ExportReport]) -> None:
    for archs in ((), ("sm_90",)):
        model = read_model(export(*archs).output)
        assert model.metadata.gpu_archs == ("sm_90",)
        assert [Path(entry).suffix for entry, place in model.members if place.startswith("kernels/")] == [".cubin"]


def test_code_for_newer_gpus_alone_runs_on_all_that_it_says(
    export: Callable[..., ExportReport], venv: Path, tmp_path: Path
) -> None:
    """Triton's own code from sm_90 on is for one GPU, `sm_90a`, which torch does not tell apart."""
    report = export("sm_90", "sm_100")
    assert report.metadata.gpu_archs == ("sm_90", "compute_90", "sm_100")
    with zipfile.ZipFile(report.output) as archive:
        entry = next(name for name in archive.namelist() if name.endswith(".fatbin"))
        path = Path(archive.extract(entry, tmp_path))
    assert listed(venv, path, "elf") == ["sm_100", "sm_90"]
    assert listed(venv, path, "ptx") == ["sm_90"]


def test_newer_code_than_this_machine_s_gpu_is_not_verified_here(export: Callable[..., ExportReport]) -> None:
    report = export("sm_80", begin=gpu_worker.begin_on(7, 5), verify=True)
    assert report.metadata.gpu_archs == ("sm_80", "compute_80")
    assert "not verified, since this machine's GPU, sm_75, is older than its code" in report.notes
    assert report.comparisons == ()


@pytest.mark.parametrize(
    ("archs", "options", "error", "what"),
    [
        (("sm_70", "sm_80"), {}, BuildToolError, "--arch sm_70: .*nvcc compiles for sm_75"),
        (("sm_80", "sm_99"), {}, TorchMismatchError, "Unknown CUDA arch"),
        (
            ("sm_80", "sm_90"),
            {"begin": gpu_worker.begin_without_targets},
            TorchMismatchError,
            "this machine's GPU alone",
        ),
    ],
)
def test_what_cannot_be_is_refused(
    export: Callable[..., ExportReport], archs: tuple[str, ...], options: Any, error: type[AotpackError], what: str
) -> None:
    with pytest.raises(error, match=what):
        export(*archs, **options)


@pytest.fixture(scope="module")
def bundle(package: ExportReport, venv: Path, source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model for the CPU and for two GPUs."""
    output = tmp_path_factory.mktemp("archs") / "bundle"
    models = (("m", cached_export(venv, source)), ("m", package.output))
    build(BuildRequest(backend=Backend.CUDA, output=output, models=models, venv=venv), Reporter())
    return output


def test_a_bundle_of_it(bundle: Path) -> None:
    described = json.loads((bundle / "bundle.json").read_text())
    variant = described["models"]["m"]["variants"][-1]
    assert (variant["name"], variant["folder"]) == ("cuda-sm_80-sm_90", "cuda-sm_80-sm_90")
    assert variant["gpu_archs"] == ["sm_80", "compute_80", "sm_90"]
    assert described["gpu_archs"] == ["compute_80", "sm_80", "sm_90"]
    assert list((bundle / "models" / "m" / "cuda-sm_80-sm_90" / "kernels").glob("*.fatbin"))


def test_without_a_driver_its_cpu_variant_runs(bundle: Path) -> None:
    done = subprocess.run([bundle / "bin" / "aotrun", "info"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert re.search("variant cuda-sm_80-sm_90: needs .*cuda sm_80 compute_80 sm_90; cannot run here: ", done.stdout)
    assert subprocess.run([bundle / "bin" / "aotrun", "check", "--model", "m"], check=False).returncode == 0
