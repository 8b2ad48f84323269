"""What all tests share: opt-in tests skip loudly unless their marker is asked for with -m."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import hypothesis
import pytest

# A deadline is a timed assertion: on a busy machine it fails for no reason.
hypothesis.settings.register_profile("aotpack", deadline=None)
hypothesis.settings.load_profile("aotpack")

# CMake and Ninja of the venv serve the tests' own projects where the system has none.
os.environ["PATH"] = os.pathsep.join([os.environ.get("PATH", os.defpath), str(Path(sys.executable).parent)])

#: Marker -> the make target that runs its tests.
OPT_IN = {
    "distros": "test-distros",
    "cuda_wheel": "test-cuda-wheel",
    "torch_versions": "test-torch-versions",
    "rocm_real": "test-rocm-real",
    "gpu": "test-gpu",
    "zoo": "test-zoo",
    "sanitizers": "test-slim-sanitizers",
    "release": "test-release",
}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    asked = config.getoption("-m")
    for item in items:
        for marker, target in OPT_IN.items():
            if marker not in asked and item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason=f"opt-in: make {target}"))
