"""What `--arch` asks of torch: of one that cannot do it, and of ROCm's as far as it can be played without a GPU."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from aotpack.exporting import driving

SCRIPT = """
import json, os, sys
from types import SimpleNamespace
sys.path.insert(0, sys.argv[1])
import torch
from worker.failure import WorkerError
from worker.gpu import targets

def wanted(*archs):
    try:
        return targets.wanted(archs)
    except WorkerError as error:
        return {"kind": error.kind, "what": str(error), "meaning": error.meaning, "fix": error.fix}

torch.cuda.get_device_capability = lambda: (9, 0)
told = {"own": [wanted(), wanted("sm_90")], "several": wanted("sm_80", "sm_90")}
told["here"] = [targets.run_here(archs) for archs in ([], ["sm_80"], ["sm_90", "sm_100"], ["sm_100"])]
told["nothing"] = targets.options([])
told["can"] = hasattr(targets.codecache, "_cuda_fatbin_command")

from torch._inductor import rocm_multiarch_utils as rocm
torch.version.hip = "7.0"
torch.cuda.get_device_properties = lambda: SimpleNamespace(gcnArchName="gfx90a:sramecc+:xnack-")
amd = {"own": [wanted(), wanted("gfx90a")], "narrow": wanted("gfx90a", "gfx1100")}
def absent():
    raise RuntimeError("ROCm installation not found.")
rocm.get_rocm_compiler = rocm.get_rocm_bundler = absent
amd["absent"] = wanted("gfx90a", "gfx942")
rocm.get_rocm_compiler = rocm.get_rocm_bundler = lambda: "/opt/rocm/llvm/bin/clang"
amd["several"] = wanted("gfx90a", "gfx942")
amd["options"] = targets.options(amd["several"])
os.environ["PYTORCH_ROCM_ARCH"] = "gfx908"
with targets.asked(amd["several"]):
    amd["asked"] = rocm.get_rocm_target_archs()
amd["after"] = os.environ["PYTORCH_ROCM_ARCH"]
print(json.dumps({"nvidia": told, "amd": amd}))
"""


@pytest.fixture(scope="module")
def told(backend_venv: Path) -> dict[str, Any]:
    command = [backend_venv / "bin" / "python", "-I", "-c", SCRIPT, Path(driving.__file__).parent]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert isinstance(answer, dict)
    return answer


def test_the_machine_s_own_gpu_takes_nothing_more(told: dict[str, Any]) -> None:
    assert told["nvidia"]["own"] == told["amd"]["own"] == [[], []]
    assert told["nvidia"]["nothing"] == {}


def test_an_older_torch_is_told(told: dict[str, Any]) -> None:
    if told["nvidia"]["can"]:
        pytest.skip("this torch compiles for several GPUs: test_cuda_archs.py plays an older one")
    refusal = told["nvidia"]["several"]
    assert refusal["kind"] == "torch"
    assert "--arch sm_80,sm_90: torch 2." in refusal["what"]
    assert refusal["what"].endswith("compiles for this machine's GPU alone, sm_90")
    assert "torch 2.14 or newer" in refusal["meaning"]
    assert "--model m=a.pt2 --model m=b.pt2" in refusal["fix"]


def test_ptx_runs_on_newer_gpus_and_never_on_older_ones(told: dict[str, Any]) -> None:
    assert told["nvidia"]["here"] == [True, True, True, False]


def test_what_rocm_s_torch_is_asked_for(told: dict[str, Any]) -> None:
    amd = told["amd"]
    assert amd["several"] == ["gfx90a", "gfx942"]
    assert amd["options"] == {"aot_inductor.emit_multi_arch_kernel": True}
    assert amd["asked"] == ["gfx90a", "gfx942"]
    assert amd["after"] == "gfx908"


def test_what_rocm_s_torch_cannot_do(told: dict[str, Any]) -> None:
    narrow, absent = told["amd"]["narrow"], told["amd"]["absent"]
    assert (narrow["kind"], narrow["what"]) == ("usage", "--arch gfx1100: not from a machine with gfx90a")
    assert "groups of 64 on gfx9 and of 32" in narrow["meaning"]
    assert absent["kind"] == "tool"
    assert absent["what"] == "--arch gfx90a,gfx942: ROCm installation not found."
    assert "set ROCM_HOME" in absent["fix"]
