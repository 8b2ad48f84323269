"""Fixtures of the zoo: a backend venv that has the packages its architectures come from."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

#: What the architectures need beside torch. torchvision's own operators are not used: its wheel may be a CUDA one.
PACKAGES = (
    "transformers>=5",
    "timm>=1.0",
    "torchvision",
    "torchcrepe",
    "torchao==0.18.0",
    "huggingface-hub",
    "safetensors",
    "tokenizers",
    "pillow",
)


@pytest.fixture(scope="session")
def zoo_packages() -> Path:
    """A folder with the packages, without torch. Made once, unless `AOTPACK_ZOO_PACKAGES` names one that is there."""
    given = os.environ.get("AOTPACK_ZOO_PACKAGES")
    if given:
        return Path(given)
    folder = ROOT / ".cache" / "zoo-packages"
    if not (folder / "complete").exists():
        python = ROOT / ".venv" / "bin" / "python"
        pip = [python, "-m", "pip", "install", "--quiet", "--upgrade", "--target", folder]
        subprocess.run([*pip, *PACKAGES[:1], *PACKAGES[5:]], check=True)
        subprocess.run([*pip, "--no-deps", *PACKAGES[1:5]], check=True)
        (folder / "complete").touch()
    return folder
