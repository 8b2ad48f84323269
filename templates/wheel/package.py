"""A model, compiled ahead of time: `import @PACKAGE@; y = @PACKAGE@(x)`. Needs the standard library alone."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from types import ModuleType
from typing import Any

#: Where libraries and models are.
BUNDLE = Path(__file__).resolve().parent / "bundle"

_lock = threading.Lock()
#: The model that all calls share, once the first has loaded it.
_shared: list[Any] = []


def load(model: str | None = None, *, device: str | None = None, runners: int = 1, threads: int = 0) -> Any:
    """A model of its own, beside the one that calls of this package share.

    Args:
        model: which one; not needed when there is one.
        device: `cpu`, `cuda`, `cuda:1`, `rocm`, ...; the model's own by default.
        runners: how many threads can run it at the same time; others wait.
        threads: size of the CPU thread pool, process-wide; 0 leaves the runtime's choice.

    Returns:
        An `aotrun.Model`.

    Raises:
        aotrun.AotError: one of its subclasses, with what to do about it.
    """
    return _runner().load(BUNDLE, model=model, device=device, runners=runners, threads=threads)


def run(*args: Any, **named: Any) -> Any:
    """Run on positional or named inputs; returns the output, or a tuple when there are several.

    Inputs are borrowed without a copy: NumPy arrays, torch tensors, anything with `__dlpack__` or the buffer protocol.
    """
    if not _shared:
        with _lock:
            if not _shared:
                _shared.append(load())
    return _shared[0](*args, **named)


def _runner() -> Any:
    """The runner; the first of several such packages in a process provides it for all."""
    folder = str(BUNDLE / "runner")
    if folder not in sys.path:
        sys.path.append(folder)
    import aotrun

    return aotrun


class _Callable(ModuleType):
    """A module that runs its model when it is called."""

    def __call__(self, *args: Any, **named: Any) -> Any:
        return run(*args, **named)


sys.modules[__name__].__class__ = _Callable
