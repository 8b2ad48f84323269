"""The user's file: load it, call its function, check what came back."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import inspect
import pkgutil
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from .. import naming
from ..failure import WorkerError, own_line
from ..subject import Subject
from . import programs
from .preparing import refuse_absent, subject_of

RETURNS = (
    "it must return (module, inputs) or (module, inputs, dynamic_shapes); "
    "inputs is a tuple of positional or a dict of keyword inputs"
)


def load(request: Mapping[str, Any]) -> Subject:
    """The subject of a request: what its function returns, or its saved program. Raises WorkerError."""
    device = request["device"]
    refuse_absent(device)
    name = request["function"]
    if not name:
        return programs.subject_of_program(programs.read(Path(request["file"])), Path(request["file"]), device)
    if request["file"] is None:
        module, path = _imported(request["module"], request["folder"])
        written = request["module"]
    else:
        path = Path(request["file"])
        module, written = _run(path), str(path)
    where = f"{path.name}:{name}"
    module, inputs, dynamic_shapes = _unpack(_call(_function(module, written, name), path, name), where)
    args, kwargs = ((), inputs) if isinstance(inputs, dict) else (tuple(inputs), {})
    return subject_of(path, module, args, kwargs, dynamic_shapes, device)


def _run(path: Path) -> ModuleType:
    # As for a script, the file's own folder is importable.
    sys.path.insert(0, str(path.parent))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise WorkerError(
            f"{path}: not a Python file", meaning="the model is made by a Python function", fix=RETURNS, kind="usage"
        )
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # dataclasses and pickle look their module up there
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise _raised(error, path, f"importing {path.name}") from error
    return module


def _imported(name: str, folder: str) -> tuple[ModuleType, Path]:
    """A module by its name, as `python -m` finds it, and its file."""
    sys.path.insert(0, folder)
    if importlib.util.find_spec(name.partition(".")[0]) is None:
        raise WorkerError(
            f"{name}: no module {name.partition('.')[0]!r} in {sys.prefix} or in {folder}",
            meaning="a module is looked for in the environment that exports, and in the current folder",
            fix=f"install it there: {sys.executable} -m pip install PACKAGE; or name its file: FILE.py:FUNCTION",
            kind="usage",
        )
    try:
        module = importlib.import_module(name)
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and f"{name}.".startswith(f"{error.name}."):
            raise _absent(name, str(error.name)) from error
        raise _raised(error, Path(name), f"importing {name}") from error
    return module, Path(module.__file__ or name)


def _absent(name: str, missing: str) -> WorkerError:
    """A module that its package, which is there, does not have."""
    package, _, last = missing.rpartition(".")
    offered = sorted(each.name for each in pkgutil.iter_modules(getattr(sys.modules[package], "__path__", ())))
    close = difflib.get_close_matches(last, offered, n=1)
    return WorkerError(
        f"{name}: no module {last!r} in {package}",
        meaning=f"{package} has {', '.join(offered) if offered else 'no modules'}",
        fix=f"did you mean {package}.{close[0]}?" if close else "name a module of it, or its file: FILE.py:FUNCTION",
        kind="usage",
    )


def _function(module: ModuleType, source: str, name: str) -> Any:
    function = getattr(module, name, None)
    if callable(function):
        return function
    offered = sorted(
        key
        for key, value in vars(module).items()
        if inspect.isfunction(value) and value.__module__ == module.__name__ and not key.startswith("_")
    )
    what = f"{source}: there is no function {name!r}" if function is None else f"{source}: {name!r} is not a function"
    meant = [*difflib.get_close_matches(name, offered, n=1), *offered]
    raise WorkerError(
        what,
        meaning=f"it defines {', '.join(offered) if offered else 'no function'}",
        fix=f"aotpack export {source}:{meant[0]} ..." if meant else f"define {name}(): {RETURNS}",
        kind="usage",
    )


def _call(function: Any, path: Path, name: str) -> Any:
    try:
        return function()
    except Exception as error:
        raise _raised(error, path, f"{path.name}:{name}()") from error


def _raised(error: Exception, path: Path, where: str) -> WorkerError:
    """The user's own innermost line says where; the whole traceback goes to stderr, which `-v` shows."""
    traceback.print_exc()
    missing = error.name if isinstance(error, ModuleNotFoundError) else None
    return WorkerError(
        f"{where} raised {type(error).__name__}: {naming.first_line(error)}",
        meaning=own_line(error, path) or f"it was raised outside of {path.name}",
        fix=f"{sys.executable} -m pip install {missing}, if that is the name of its package"
        if missing
        else "correct it there, or run again with -v for the traceback",
        kind="usage",
    )


def _unpack(returned: Any, where: str) -> tuple[Any, Any, Any]:
    def wrong(what: str, fix: str) -> WorkerError:
        return WorkerError(f"{where} returned {what}", meaning=RETURNS, fix=fix, kind="usage")

    if not isinstance(returned, tuple) or len(returned) not in (2, 3):
        size = f" of {len(returned)}" if isinstance(returned, (tuple, list)) else ""
        raise wrong(f"{naming.a(returned)}{size}", "return (module, (x,)) for a model of one input x")
    module, inputs, dynamic_shapes = (*returned, None)[:3]
    if isinstance(module, torch.export.ExportedProgram):
        raise wrong(
            "an ExportedProgram where the module belongs",
            'torch.export.save(program, "program.pt2"), then aotpack export program.pt2: inputs and sizes are its own',
        )
    if not isinstance(module, torch.nn.Module):
        raise wrong(f"{naming.a(module)} where the module belongs", "return a torch.nn.Module first")
    if isinstance(inputs, torch.Tensor):
        raise wrong("a tensor where the inputs belong", "return (module, (x,)): a tuple of one")
    if not isinstance(inputs, (tuple, list, dict)):
        raise wrong(f"{naming.a(inputs)} where the inputs belong", "return (module, (x,)) for a model of one input x")
    if isinstance(inputs, dict) and not all(isinstance(key, str) for key in inputs):
        raise wrong("keyword inputs whose names are no strings", 'return (module, {"x": x})')
    return module, inputs, dynamic_shapes
