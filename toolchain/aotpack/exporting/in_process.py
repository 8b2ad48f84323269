"""Exporting with the torch of this very process: a module that exists nowhere else, such as a notebook's.

The worker is the same as that of `driving`, called instead of started. What it changes in the process is put back.
"""

from __future__ import annotations

import contextlib
import inspect
import io
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from aotpack.errors import UsageError
from aotpack.exporting.driving import Conversation, ExportReport, ExportRequest, Listener, error_of, making


def is_ours_to_export(value: object) -> bool:
    """Whether a value is a module or a program of a torch that this process has imported."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, (torch.nn.Module, torch.export.ExportedProgram))


def own_environment() -> Path | None:
    """The environment of this process, once it has imported a torch of it: what is exported here is built from that.

    None where another one is named (AOTPACK_VENV, LIBTORCH), and for a torch that lies elsewhere.
    """
    torch = sys.modules.get("torch")
    if torch is None or os.environ.get("AOTPACK_VENV") or os.environ.get("LIBTORCH"):
        return None
    from aotpack.environment.reading import read_environment

    prefix = Path(sys.prefix)
    found = read_environment(prefix)
    is_ours = found is not None and found.root.resolve() == Path(str(torch.__file__)).resolve().parent
    return prefix if is_ours else None


def export(
    request: ExportRequest,
    module: Any,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    dynamic_shapes: Any,
    listener: Listener,
    *,
    log: IO[bytes] | None = None,
) -> ExportReport:
    """Export a module, or a program of torch.export, that lives in this process.

    Args:
        request: its `file` and `function` say nothing here.
        args, kwargs: example inputs; those of a program are its own.
        log: where what torch prints goes; it is thrown away otherwise.

    Raises AotpackError and its kinds.
    """
    from aotpack.exporting.worker import guest
    from aotpack.exporting.worker.code import compiling  # noqa: F401  (before what it changes is looked at)
    from aotpack.exporting.worker.eager import modules
    from aotpack.exporting.worker.failure import WorkerError
    from aotpack.exporting.worker.main import Export
    from aotpack.exporting.worker.sources import preparing, programs

    module = modules.itself(module)
    path = _file_of(module)
    is_program = hasattr(module, "graph_signature")
    if not is_program:
        try:
            modules.check(module)
        except WorkerError as error:
            raise error_of(error.document()) from error
        module = guest.on_device(module, request.device)

    def load(_request: Mapping[str, Any]) -> Any:
        preparing.refuse_absent(request.device)
        if is_program:
            return programs.subject_of_program(module, path, request.device)
        return preparing.subject_of(path, module, tuple(args), dict(kwargs), dynamic_shapes, request.device)

    conversation = Conversation(request, listener)
    answers: list[str] = []

    def send(event: str, **fields: Any) -> None:
        answer = conversation.hear({"event": event, **fields})
        if answer is not None:
            answers.append(answer)

    worker = Export(send, load)
    left = guest.left_as_it_was(None if is_program else module)
    with making(request.output) as (package, workspace), conversation, _cache(workspace), left, _printing_to(log):
        told = {**conversation.request_to(package, workspace), "file": str(path)}
        try:
            worker.run(told, lambda: answers.pop() + "\n")
        except Exception as error:
            raise error_of(worker.failure(error).document()) from error
    return conversation.report()


def _file_of(module: Any) -> Path:
    """Where the module's class stands: a file, or a notebook's cell; failures name its lines."""
    try:
        return Path(inspect.getfile(type(module)))
    except (TypeError, OSError):
        pass
    try:  # a class of a notebook has no file, its functions have
        return Path(inspect.getfile(type(module).forward))
    except (TypeError, OSError, AttributeError):
        return Path(type(module).__name__)


@contextlib.contextmanager
def _cache(workspace: Path) -> Iterator[None]:
    """Inductor hands file names to compilers without quotes: its cache must not lie below a name with a space."""
    name = "TORCHINDUCTOR_CACHE_DIR"
    before = os.environ.get(name)
    if before is None or " " not in before:
        yield
        return
    os.environ[name] = str(workspace / "cache")
    try:
        yield
    finally:
        os.environ[name] = before


@contextlib.contextmanager
def _printing_to(log: IO[bytes] | None) -> Iterator[None]:
    """What torch and the worker print for people who look for a defect: tracebacks, mostly."""
    text = io.StringIO() if log is None else io.TextIOWrapper(log, encoding="utf-8", errors="backslashreplace")
    try:
        with contextlib.redirect_stderr(text):
            yield
    finally:
        if isinstance(text, io.TextIOWrapper):
            text.flush()
            text.detach()


def inputs_of(args: Any, kwargs: Mapping[str, Any] | None) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Positional and keyword inputs of what a caller gave. Raises UsageError."""
    if args is None:
        return (), dict(kwargs or {})
    if isinstance(args, Mapping):
        return (), {**args, **(kwargs or {})}
    if isinstance(args, (tuple, list)):
        return tuple(args), dict(kwargs or {})
    raise UsageError(
        f"args is a {type(args).__name__}",
        meaning="example inputs are a tuple of positional or a dict of keyword inputs",
        fix="aotpack.export(module, (x,)) for a module of one input x",
    )
