"""Exports at the same time, of one user."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

SOURCE = """
import torch

def model():
    return torch.nn.ReLU(), (torch.ones(3),)
"""


def test_an_export_waits_for_no_other(backend_venv: Path, tmp_path: Path) -> None:
    """The other one holds the lock that Inductor names after the files that it makes."""
    (tmp_path / "one.py").write_text(SOURCE)
    lock = tmp_path / "inductor" / "locks" / "model.lock"
    lock.parent.mkdir(parents=True)
    settings = {"TORCHINDUCTOR_CACHE_DIR": str(lock.parents[1]), "TORCHINDUCTOR_FILE_LOCK_TIMEOUT": "1"}
    words = ["export", "one.py:model", "--output", "one.pt2", "--cpu-isa", "baseline", "--venv", backend_venv]
    with lock.open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        done = subprocess.run(
            [sys.executable, "-m", "aotpack", *words],
            env={**os.environ, **settings},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "one.pt2").is_file()
