"""aotrun: run the models of an aotpack bundle from Python 3.8 or newer, without torch.

    import sys; sys.path.insert(0, "dist/mlp/runner")
    import aotrun
    model = aotrun.load("dist/mlp")
    y = model(x)                # NumPy, torch, anything with __dlpack__ or the buffer protocol; no copy on the CPU
    numpy.asarray(y), torch.from_dlpack(y), y.tolist()

Needs the standard library alone.
"""

from aotrun.arrays.signature import Dim, Spec
from aotrun.errors import (
    AotError,
    DamagedError,
    MachineMismatchError,
    ModelMismatchError,
    RunError,
    UsageError,
)
from aotrun.library.model import Model, Result, Session, load
from aotrun.library.tensor import Tensor

__version__ = "0.1.0"

__all__ = [
    "AotError",
    "DamagedError",
    "Dim",
    "MachineMismatchError",
    "Model",
    "ModelMismatchError",
    "Result",
    "RunError",
    "Session",
    "Spec",
    "Tensor",
    "UsageError",
    "load",
]
