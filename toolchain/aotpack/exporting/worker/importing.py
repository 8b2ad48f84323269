"""The torch of this environment, before anything here imports it."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

from .failure import WorkerError


def import_torch() -> str:
    """torch's full version. Raises WorkerError when it cannot be imported here."""
    try:
        import torch

        # Not all code that torch compiles names libtorch: without this, it could not be loaded here.
        ctypes.CDLL(str(Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"), mode=ctypes.RTLD_GLOBAL)
    except (ImportError, OSError) as error:
        raise WorkerError(
            f"{sys.executable}: cannot import torch ({error})",
            meaning="a model is exported by the torch of the backend's virtual environment",
            fix="aotpack init --backend cpu, or name another environment with --venv DIR",
            kind="torch",
        ) from error
    return str(torch.__version__)
