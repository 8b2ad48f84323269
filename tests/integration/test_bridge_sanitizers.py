"""The bridge's C++ unit tests, under AddressSanitizer and UndefinedBehaviorSanitizer."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from aotpack.backend import Backend
from aotpack.bridge import build_sanitized_tests
from aotpack.torch_env import find_torch


def test_cpp_unit_tests(backend_venv: Path) -> None:
    program = build_sanitized_tests(find_torch(Backend.CPU, venv=backend_venv))
    environment = {
        **os.environ,
        "ASAN_OPTIONS": "detect_leaks=1:detect_stack_use_after_return=1",
        "UBSAN_OPTIONS": "print_stacktrace=1",
    }
    done = subprocess.run([program], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert ", 0 failed" in done.stdout
