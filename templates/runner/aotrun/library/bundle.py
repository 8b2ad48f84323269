"""Where things are in a bundle, and which model is meant."""

from __future__ import annotations

import os

from aotrun.errors import DamagedError, UsageError, refused
from aotrun.formats import bundle_files
from aotrun.formats.opening import open_regular
from aotrun.library.ffi import LIBRARY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Mapping, Optional, Sequence, Tuple

#: The bundle that this package lies in: BUNDLE/runner/aotrun. One that is a single file has the name of the descriptor
#: that the launcher opened, which stays the same file whatever becomes of its name.
HERE = os.path.abspath(os.path.join(os.path.dirname(__file__), *[os.pardir] * 3))
#: What people call it.
NAME = HERE if os.path.isdir(HERE) else os.path.realpath(HERE)


def lib_folder(root: str) -> str:
    """The folder of the bridge library."""
    return os.path.join(root, "lib")


def model_names(root: str) -> Tuple[str, ...]:
    """The models of a bundle, sorted."""
    return bundle_files.folders(os.path.join(root, "models"))


def model_folder(root: str, name: Optional[str]) -> str:
    """The folder of a model; without a name, of the only one. Raises UsageError."""
    names = model_names(root)
    if name is None and len(names) == 1:
        name = names[0]
    if name in names:
        return os.path.join(root, "models", str(name))
    have = ", ".join(names) or "none"
    if name is None:
        what = f"which model? {root} has {have}"
        fix = f"Name one: --model {names[0]}." if names else "Name a package: --model FILE.pt2."
        raise UsageError(what, "A model may go unnamed only when it is the only one of its bundle.", fix)
    raise UsageError(
        f"no model {name!r} in {root}", f"Its models: {have}.", "Name one of them, or the path of a .pt2 package."
    )


def locate(path: str, model: Optional[str] = None) -> Tuple[str, str]:
    """The bundle and the model path (a folder or a .pt2) for what a user names: a bundle (a folder or a single file), a
    model folder, a .pt2.

    A model outside of any bundle runs with the libraries of the bundle that this package lies in.
    Raises UsageError, DamagedError.
    """
    path = os.path.abspath(path)
    if not bundle_files.exists(path):
        raise UsageError(f"{path}: no such file or folder", "There is nothing to load.", "Check the path.")
    if bundle_files.is_folder(path) and not bundle_files.exists(os.path.join(path, "model.json")):
        if not bundle_files.exists(os.path.join(path, "lib", LIBRARY)):
            raise UsageError(
                f"{path}: no bundle and no model folder",
                f"A bundle has lib/{LIBRARY}, a model folder has model.json.",
                "Name the folder of a bundle, one of its models, or a .pt2.",
            )
        return path, model_folder(path, model)
    if model is not None:
        raise UsageError(f"{path} is a model, and model={model!r} names another", "One is enough.", "Leave one out.")
    root = os.path.dirname(os.path.dirname(path))
    inside = bundle_files.is_folder(path) and bundle_files.exists(os.path.join(root, "lib", LIBRARY))
    return (root if inside else HERE), path


#: What the runner reads of bundle.json, of a file in it, and of a model: whatever is there is of this type.
_DESCRIPTION = {"backend": str, "runtime": str, "torch": dict, "floors": dict, "models": dict, "files": list}
_FILE = {"path": str, "part": str, "reason": str, "size": int, "link": str}
_MODEL = {"device": str, "cpu_features": list, "inputs": list, "outputs": list, "guards": list}
_SPEC = {"name": str, "dtype": str, "dims": list}


def manifest(root: str) -> Dict[str, Any]:
    """The document of `bundle.json`, as far as the runner reads it of the right shape. Raises DamagedError."""
    import json

    path = os.path.join(root, "bundle.json")
    try:
        with open_regular(path) as stream:
            document = json.load(stream)
        if not isinstance(document, dict) or document.get("schema") != 1:
            raise ValueError("its schema is not 1")
        _check_shape(document)
    except OSError as error:
        raise refused(path, error) from None
    except (ValueError, RecursionError) as error:
        raise DamagedError(
            f"{path}: {error}", "The bundle's own description cannot be read.", "Copy the whole bundle again."
        ) from None
    return document


def _check_shape(document: Dict[str, Any]) -> None:
    _check_types(document, _DESCRIPTION, ())
    for record in document.get("files", []):
        _check_types(record, _FILE, ("path", "part"))
        if "\0" in record["path"]:
            raise ValueError(f"the path {record['path']!r}")
    for model in document.get("models", {}).values():
        _check_types(model, _MODEL, ())
        if not all(isinstance(feature, str) for feature in model.get("cpu_features", [])):
            raise ValueError("a CPU feature that is no text")
        for guard in model.get("guards", []):
            _check_types(guard, {"text": str}, ("text",))
        for spec in [*model.get("inputs", []), *model.get("outputs", [])]:
            _check_types(spec, _SPEC, tuple(_SPEC))


def _check_types(found: Any, types: Mapping[str, type], needed: Sequence[str]) -> None:
    if not isinstance(found, dict):
        raise ValueError(f"{type(found).__name__} in place of an object")
    for name, wanted in types.items():
        # A bool is an int to Python only.
        if (name in needed or name in found) and type(found.get(name)) is not wanted:
            raise ValueError(f"{name} is {type(found.get(name)).__name__}, not {wanted.__name__}")
