"""The user's file: load it, call its function, check what came back."""

from __future__ import annotations

import ctypes
import importlib.util
import inspect
import sys
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from . import naming
from .failure import WorkerError, own_line

RETURNS = (
    "it must return (module, inputs) or (module, inputs, dynamic_shapes); "
    "inputs is a tuple of positional or a dict of keyword inputs"
)


@dataclass
class Subject:
    """A module with example inputs, on the device it is exported for, in inference mode."""

    #: The user's file.
    path: Path
    module: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    dynamic_shapes: Any
    device: Any
    notes: list[str] = field(default_factory=list)


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


def load(path: Path, function: str, device: str) -> Subject:
    """Call `function` of the file at `path` and move what it returns to `device`. Raises WorkerError."""
    import torch

    from .carriable import check_inputs

    if device.startswith("cuda") and not torch.cuda.is_available():
        raise WorkerError(
            f"--device {device}: torch {torch.__version__} sees no GPU",
            meaning="code for a GPU is compiled and tuned on one",
            fix="run on a machine with the GPU and its driver, or use --device cpu",
            kind="torch",
        )
    returned = _call(_function(_run(path), path, function), path, function)
    module, inputs, dynamic_shapes = _unpack(returned, f"{path.name}:{function}")
    notes: list[str] = []
    _evaluate(module, notes)
    args, kwargs = ((), _in_signature_order(module, inputs)) if isinstance(inputs, dict) else (tuple(inputs), {})
    flat = torch.utils._pytree.tree_flatten_with_path((args, kwargs))[0]
    names = naming.input_names(module.forward, [naming.keys(path) for path, _ in flat])
    check_inputs(names, [leaf for _, leaf in flat])
    target = torch.device(device)
    module = module.to(target)

    def move(leaf: Any) -> Any:
        # Compiled code relies on the strides of its examples, and the bridge hands every input over in C order.
        return leaf.detach().to(target).contiguous() if isinstance(leaf, torch.Tensor) else leaf

    args, kwargs = torch.utils._pytree.tree_map(move, (args, kwargs))
    return Subject(path, module, args, kwargs, dynamic_shapes, target, notes)


def _evaluate(module: Any, notes: list[str]) -> None:
    """Let the module do what it does in use, not in training."""
    if not module.training:
        return
    try:
        module.eval()
    except NotImplementedError:
        return  # a graph of torch.export, which stays in the mode that it was traced in
    notes.append("the module was in training mode: exported after module.eval()")


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


def _function(module: ModuleType, path: Path, name: str) -> Any:
    function = getattr(module, name, None)
    if callable(function):
        return function
    offered = sorted(
        key
        for key, value in vars(module).items()
        if inspect.isfunction(value) and value.__module__ == module.__name__ and not key.startswith("_")
    )
    what = f"{path}: there is no function {name!r}" if function is None else f"{path}: {name!r} is not a function"
    raise WorkerError(
        what,
        meaning=f"the file defines {', '.join(offered) if offered else 'no function'}",
        fix=f"aotpack export {path}:{offered[0]} ..." if offered else f"define {name}(): {RETURNS}",
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
    import torch

    def wrong(what: str, fix: str) -> WorkerError:
        return WorkerError(f"{where} returned {what}", meaning=RETURNS, fix=fix, kind="usage")

    if not isinstance(returned, tuple) or len(returned) not in (2, 3):
        size = f" of {len(returned)}" if isinstance(returned, (tuple, list)) else ""
        raise wrong(f"{_a(returned)}{size}", "return (module, (x,)) for a model of one input x")
    module, inputs, dynamic_shapes = (*returned, None)[:3]
    if not isinstance(module, torch.nn.Module):
        raise wrong(f"{_a(module)} where the module belongs", "return a torch.nn.Module first")
    if isinstance(module, torch.jit.ScriptModule):
        raise WorkerError(
            f"{where} returned a TorchScript module, which torch.export cannot trace",
            meaning="TorchScript is deprecated since torch 2.11; its successor, torch.export, takes the module itself",
            fix="return the torch.nn.Module that torch.jit.trace or torch.jit.script was given",
            kind="usage",
        )
    if isinstance(inputs, torch.Tensor):
        raise wrong("a tensor where the inputs belong", "return (module, (x,)): a tuple of one")
    if not isinstance(inputs, (tuple, list, dict)):
        raise wrong(f"{_a(inputs)} where the inputs belong", "return (module, (x,)) for a model of one input x")
    if isinstance(inputs, dict) and not all(isinstance(key, str) for key in inputs):
        raise wrong("keyword inputs whose names are no strings", 'return (module, {"x": x})')
    return module, inputs, dynamic_shapes


def _a(value: Any) -> str:
    name = type(value).__name__
    return "None" if value is None else f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"


def _in_signature_order(module: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
    order = list(inspect.signature(module.forward).parameters)
    return dict(sorted(kwargs.items(), key=lambda item: order.index(item[0]) if item[0] in order else len(order)))
