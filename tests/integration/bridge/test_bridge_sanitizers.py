"""The bridge's C++ programs under sanitizers: unit tests under ASan and UBSan, many callers under ThreadSanitizer."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from aotpack.backend import Backend
from aotpack.environment.search import find_torch
from aotpack.environment.torch import TorchInfo
from tests.support.bundles import sanitizing
from tests.support.bundles.bridge_programs import build_tests
from tests.support.bundles.sanitizing import slim_bundle
from tests.support.packages.exporting import SOURCES, cached_export


@pytest.fixture(scope="module")
def torch_info(backend_venv: Path) -> TorchInfo:
    return find_torch(Backend.CPU, venv=backend_venv)


@pytest.mark.xdist_group("asan")
def test_cpp_unit_tests(torch_info: TorchInfo) -> None:
    program = build_tests(torch_info, "address,undefined")["bridge_tests"]
    env = sanitizing.environment(leaks=True)
    done = subprocess.run([program], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert ", 0 failed" in done.stdout


@pytest.mark.xdist_group("tsan")
def test_many_callers_under_thread_sanitizer(
    torch_info: TorchInfo, backend_venv: Path, exported: Callable[..., Path], tmp_path: Path
) -> None:
    # One model without matrix libraries' help, two with it.
    runtime = sanitizing.thread_runtime(torch_info)
    models = {"core": exported("mlp"), "mlp": exported("mlp", constants="updatable"), "convnet": exported("convnet")}
    bundle = slim_bundle(tmp_path / "bundle", backend_venv, models, runtime)
    program = build_tests(torch_info, "thread")["bridge_threads"]
    shutil.copy(program, bundle / "lib")  # it looks for the runtime beside itself
    # Where the kernel spreads mappings wider than ThreadSanitizer expects, it does not start.
    command = ["setarch", "--addr-no-randomize", bundle / "lib" / program.name]
    # What threads share lies outside ops/, but for what convolutions have of their own: the first calls make it, and a
    # call takes so long that forty of each caller were most of the test.
    for rounds, names in ((40, ("core", "mlp")), (8, ("convnet",))):
        folders = [bundle / "models" / name for name in names]
        done = subprocess.run([*command, str(rounds), *folders], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr[-8000:]
        assert done.stdout == f"{len(names)} models of {rounds} rounds, 0 failed\n"


@pytest.mark.xdist_group("asan")
def test_each_allocation_may_fail(
    torch_info: TorchInfo, backend_venv: Path, exported: Callable[..., Path], tmp_path: Path
) -> None:
    runtime = sanitizing.address_runtime(torch_info)
    models = {
        "core": exported("mlp"),
        "convnet": exported("convnet"),
        "ops": cached_export(backend_venv, SOURCES / "safety_models.py"),
        "indexing": cached_export(backend_venv, SOURCES / "safety_models.py", function="indexing"),
    }
    bundle = slim_bundle(tmp_path / "bundle", backend_venv, models, runtime)
    program = build_tests(torch_info, "address,undefined")["bridge_failures"]
    shutil.copy(program, bundle / "lib")
    command = [bundle / "lib" / program.name, *(bundle / "models" / name for name in models)]
    env = sanitizing.environment(leaks=True)
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr[-8000:]
    assert done.stdout.endswith("4 models, 0 complaints\n")
