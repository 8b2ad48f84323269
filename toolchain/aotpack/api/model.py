"""`aotpack.load`: a model of a bundle in this process, by the runner that travels in every bundle."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import c_void_p
from typing import Any

from aotpack import resources
from aotpack.errors import AotpackError, DamagedError, MachineMismatchError, ModelMismatchError, UsageError

# The runner is a package of its own. One that is there already, of a bundle, will do.
if "aotrun" not in sys.modules:
    sys.path.append(str(resources.TEMPLATES / "runner"))

import aotrun
from aotrun.library.bundle import locate
from aotrun.library.model import Runnable

_ERRORS: dict[int, type[AotpackError]] = {
    kind.exit_code: kind for kind in (UsageError, ModelMismatchError, DamagedError, MachineMismatchError)
}


@contextmanager
def _own_errors() -> Iterator[None]:
    """The runner's errors as those of aotpack."""
    try:
        yield
    except aotrun.AotError as error:
        kind = _ERRORS.get(error.exit_code, AotpackError)
        raise kind(error.what, meaning=error.meaning, fix=error.fix) from None


class _Calls(Runnable):
    """Calls whose errors are those of aotpack."""

    def __call__(self, *args: Any, **named: Any) -> Any:
        """Run on positional or named inputs; returns the output, or a tuple when there are several.

        Inputs are NumPy arrays, torch tensors, anything with `__dlpack__` or the buffer protocol, or (nested) lists of
        numbers. An output is one by `numpy.asarray(y)`, `torch.from_dlpack(y)`, `y.tolist()`.

        Raises:
            AotpackError: one of its subclasses.
        """
        try:
            return super().__call__(*args, **named)
        except aotrun.AotError as error:  # a context manager would be felt in each call
            with _own_errors():
                raise error

    def run(self, *args: Any, **named: Any) -> aotrun.Result:
        """Run as a call does; returns outputs by name, with measurements."""
        with _own_errors():
            return super().run(*args, **named)


class Model(_Calls, aotrun.Model):
    """A loaded model. May be called from many threads at once.

    Attributes:
        inputs, outputs: the signature, in call order.
    """

    def asset(self, name: str) -> bytes:
        """The content of a file that travels with the models, such as `labels.txt`. Raises UsageError."""
        with _own_errors():
            return super().asset(name)

    def prepare(self, folder: str | os.PathLike[str]) -> dict[str, Any]:
        """Write its weights as this kind of CPU reads them into a folder, for processes that name it to map.

        Returns `file`, or None where there is nothing to prepare, and `reason`, why; how many `weights` it holds, and
        their `bytes`. Raises AotpackError where the folder cannot be written to, or the package is too old.
        """
        with _own_errors():
            return super().prepare(folder)

    def session(self) -> Session:
        """This model with a state of its own, which is at first what it was at export (docs/serving.md).

        Raises ModelMismatchError when the package does not say which buffers the model changes.
        """
        with _own_errors():
            return Session.taking(self, super().session())


class Session(_Calls, aotrun.Session):
    """A model with a state of its own: the buffers that it changes from call to call. It shares code and weights.

    Attributes:
        model: whose session it is.
        inputs, outputs: the signature, in call order.
    """

    @classmethod
    def taking(cls, model: aotrun.Model, other: aotrun.Session) -> Session:
        """What another one was, which is closed then."""
        handle, other._handle = other._handle, c_void_p()
        return cls(model, handle)

    def reset(self) -> None:
        """Make the state what it was at export."""
        with _own_errors():
            super().reset()

    def copy(self) -> Session:
        """Another session of the model with the same state."""
        with _own_errors():
            return Session.taking(self.model, super().copy())

    def save(self) -> bytearray:
        """The state; sessions of the same package take it, in other processes and on other machines as well."""
        with _own_errors():
            return super().save()

    def restore(self, state: bytes | bytearray | memoryview) -> None:
        """Make the state one that was saved. Raises UsageError when it is none of this model."""
        with _own_errors():
            super().restore(state)


def load(
    bundle: str | os.PathLike[str],
    *,
    model: str | None = None,
    device: str | None = None,
    runners: int = 1,
    threads: int = 0,
    variant: str | None = None,
    prepared: str | os.PathLike[str] | None = None,
) -> Model:
    """Load a model of a bundle into this process. Needs neither torch nor NumPy.

        model = aotpack.load("dist/mlp")
        y = model(x)

    Args:
        bundle: a bundle, or a model folder within one.
        model: which one; not needed when there is one.
        device: `cpu`, `cuda`, `cuda:1`, `rocm`, ...; the model's own by default.
        runners: how many threads can run it at the same time; others wait.
        threads: size of the CPU thread pool, process-wide; 0 leaves the runtime's choice.
        variant: of a model that has several, such as `avx2`; AOT_VARIANT's, or the best that this machine can run, by
            default.
        prepared: a folder that `aotrun prepare` has written weights into; AOT_PREPARED's by default, and none where it
            is empty.

    Raises:
        AotpackError: one of its subclasses, as the exit codes say.
    """
    with _own_errors():
        root, path = locate(os.fspath(bundle), model)
        if root == str(resources.TEMPLATES):
            raise UsageError(
                f"{os.fspath(bundle)}: no bundle, and not in one",
                meaning="a model runs with the libraries of a bundle",
                fix=f"aotpack.build({os.fspath(bundle)!r}, 'dist/NAME').load()",
            )
        options: dict[str, Any] = {"device": device, "runners": runners, "threads": threads}
        return Model(root, path, **options, variant=variant, prepared=prepared)
