"""What all tests share: opt-in tests skip loudly unless their marker is asked for with -m."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import hypothesis
import pytest

# Hooks: how long each test takes.
from tests.support.times import pytest_configure, pytest_runtest_makereport  # noqa: F401

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
    "examples": "test-examples",
    "zoo": "test-zoo",
    "sanitizers": "test-slim-sanitizers",
    "release": "test-release",
    "clients": "test-clients",
}

#: With several processes these begin first, in this order: what takes long must not be what is left at the end.
LONGEST = (
    "integration/bridge/test_bridge_sanitizers.py",
    "integration/slim/",
    "integration/release/test_same_bytes.py",
    "integration/variants/",
    "integration/api/",
    "integration/export/",
    "integration/gpu/",
    "integration/build/",
    "integration/release/",
    "integration/embedding/",
    "integration/runner/",
    "integration/serving/",
    "integration/bridge/",
    "integration/sessions/",
    "integration/doctor/",
    "fuzz/test_bridge.py",
    "fuzz/",
)


def _turn(item: pytest.Item) -> int:
    """When a test begins: by `LONGEST`, and the short ones of tests/unit last of all."""
    place = item.path.relative_to(Path(__file__).parent).as_posix()
    if place.startswith("unit/"):
        return len(LONGEST) + 1
    return next((rank for rank, start in enumerate(LONGEST) if place.startswith(start)), len(LONGEST))


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    asked = config.getoption("-m")
    items.sort(key=_turn)
    for item in items:
        # A module's tests share fixtures, so one process runs them all, unless the tests say who belongs together. Of
        # short tests any process can take one.
        if _turn(item) <= len(LONGEST) and item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(f"{item.path.parent.name}/{item.path.stem}"))
        for marker, target in OPT_IN.items():
            if marker not in asked and item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason=f"opt-in: make {target}"))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Groups that xdist does not see are no error to it: each process would make what a module shares, once more."""
    if getattr(session.config.option, "loadgroup", False):
        alone = [
            item.nodeid for item in session.items if item.get_closest_marker("xdist_group") and "@" not in item.nodeid
        ]
        if alone:
            raise RuntimeError(f"pytest {pytest.__version__} and xdist keep no groups together: {alone[0]}")
