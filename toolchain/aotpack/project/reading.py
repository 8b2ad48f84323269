"""Finding and reading a project file: upwards from the current folder, as pip and ruff do."""

from __future__ import annotations

import difflib
import os
import re
import types
from dataclasses import dataclass
from enum import Enum, EnumMeta
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

import msgspec

from aotpack.errors import UsageError
from aotpack.project.settings import Bundle, Export, Model, Project
from aotpack_doctor.base.regular import SpecialFileError, read_regular

NAME = "aotpack.toml"
_PYPROJECT = "pyproject.toml"
_TABLE = re.compile(r"^\s*\[tool\.aotpack[\].]", re.MULTILINE)

_Type = TypeVar("_Type")


@dataclass(frozen=True)
class Found:
    """A project and the file that describes it."""

    file: Path
    project: Project

    @property
    def folder(self) -> Path:
        """What its paths are relative to."""
        return self.file.parent


def find_project(folder: Path | None = None) -> Found | None:
    """The nearest project at or above a folder, the current one by default. Raises UsageError for one with a mistake.

    In a folder, `aotpack.toml` comes before the table `[tool.aotpack]` of `pyproject.toml`.
    """
    start = (folder or Path.cwd()).absolute()
    for place in (start, *start.parents):
        if (place / NAME).is_file():
            return Found(place / NAME, parse_project(_text(place / NAME), str(place / NAME)))
        pyproject = place / _PYPROJECT
        # Other people's files are not read to the end before they are known to speak of aotpack.
        if pyproject.is_file() and _TABLE.search(text := _text(pyproject)):
            table = _toml(text, str(pyproject)).get("tool", {}).get("aotpack", {})
            return Found(pyproject, _project(table, f"{pyproject} [tool.aotpack]"))
    return None


def named_environment(found: Found | None) -> Path | None:
    """The environment that a project names, unless the variable AOTPACK_VENV names another one."""
    if found is None or found.project.venv is None or os.environ.get("AOTPACK_VENV"):
        return None
    return found.folder / found.project.venv


def parse_project(text: str, origin: str) -> Project:
    """The project of a file's text; `origin` names it in errors. Raises UsageError."""
    return _project(_toml(text, origin), origin)


def _text(path: Path) -> str:
    try:
        return read_regular(str(path)).decode("utf-8-sig")  # some editors begin it with a mark
    except (SpecialFileError, UnicodeDecodeError, OSError) as error:
        raise UsageError(
            f"{path}: {getattr(error, 'strerror', None) or error}",
            meaning="the project's own description cannot be read",
            fix=f"make it a text file in UTF-8, or move it away: {path}",
        ) from error


def _toml(text: str, origin: str) -> dict[str, Any]:
    try:
        document = msgspec.toml.decode(text, type=dict[str, Any])
    except msgspec.DecodeError as error:  # its message ends with line and column
        raise UsageError(
            f"{origin}: {error}",
            meaning="the file is no TOML, so nothing of it was taken",
            fix="mend that line; see docs/python.md for an example, and aotpack init --example for one that works",
        ) from error
    except RecursionError as error:
        raise UsageError(
            f"{origin}: values within values, hundreds deep",
            meaning="no setting has such a value, so nothing of the file was taken",
            fix="remove it; see docs/python.md for an example",
        ) from error
    return document


def _project(document: dict[str, Any], origin: str) -> Project:
    # Piece by piece, so that a mistake is told with the name of its model or bundle.
    models = _tables(document.get("models", {}), "models", origin)
    bundles = _tables(document.get("bundles", {}), "bundles", origin)
    rest = {key: value for key, value in document.items() if key not in ("models", "bundles")}
    project = _convert(rest, Project, "", origin)
    project = msgspec.structs.replace(
        project,
        models={
            name: value if isinstance(value, str) else _convert(value, Model, f"models.{name}", origin)
            for name, value in models.items()
        },
        bundles={name: _convert(value, Bundle, f"bundles.{name}", origin) for name, value in bundles.items()},
    )
    for name, bundle in project.bundles.items():
        for wanted in bundle.models or ():
            if wanted not in project.models:
                close = difflib.get_close_matches(wanted, project.models, n=1)
                raise UsageError(
                    f"{origin}: bundles.{name} wants a model {wanted!r}",
                    meaning=f"[models] has {', '.join(project.models) or 'none'}",
                    fix=f"did you mean {close[0]!r}?" if close else f"add {wanted} to [models]",
                )
    return project


def _tables(value: Any, key: str, origin: str) -> dict[str, Any]:
    if isinstance(value, dict):
        return value
    raise UsageError(
        f"{origin}: {key} is a {type(value).__name__}",
        meaning=f"[{key}] is a table of names",
        fix=f"[{key}.NAME]" if key == "bundles" else f'[{key}]\nNAME = "model.py:model"',
    )


def _convert(value: Any, kind: type[_Type], where: str, origin: str) -> _Type:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise _mistake(str(error), kind, where, origin) from error


#: What msgspec says: a sentence, and the place within what was converted.
_SENTENCE = re.compile(r"(.*?)(?: - at `\$\.?(.*)`)?$", re.DOTALL)
_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`$")
_NONE_OF = re.compile(r"Invalid enum value '(.*)'$")


def _mistake(message: str, kind: type[Any], where: str, origin: str) -> UsageError:
    match = _SENTENCE.match(message)
    sentence, within = (match[1], match[2] or "") if match else (message, "")
    place = ".".join(part for part in (where, within) if part)
    choice = _NONE_OF.match(sentence)
    if choice is not None and (choices := _choices(kind, within)):
        close = difflib.get_close_matches(choice[1], choices, n=1)
        return UsageError(
            f"{origin}: {place} is {choice[1]!r}",
            meaning=f"it is one of {', '.join(choices)}",
            fix=f"did you mean {close[0]}?" if close else f"{within.rpartition('.')[2]} = {choices[0]!r}",
        )
    unknown = _UNKNOWN.match(sentence)
    if unknown is None:
        return UsageError(
            f"{origin}: {place or 'the file'}: {sentence[:1].lower()}{sentence[1:]}",
            meaning="the value is not what this setting takes, so nothing was done",
            fix=f"mend {place or 'the file'}; docs/python.md lists all settings",
        )
    known = (Export if within == "export" else kind).__struct_encode_fields__
    close = difflib.get_close_matches(unknown[1], known, n=1)
    return UsageError(
        f"{origin}: there is no setting {'.'.join(part for part in (place, unknown[1]) if part)}",
        meaning=f"{f'[{place}]' if place else 'the file'} takes {', '.join(known)}",
        fix=f"did you mean {close[0]}?" if close else f"remove {unknown[1]}",
    )


def _choices(kind: type[Any], within: str) -> list[str]:
    """The values that a setting takes, where they are few; `within` is its place in a `kind`: `export.constants`."""
    table, _, key = within.rpartition(".")
    fields = msgspec.structs.fields(Export if table == "export" else kind)
    hint = next((field.type for field in fields if field.encode_name == key), None)
    kinds = get_args(hint) if isinstance(hint, types.UnionType) or get_origin(hint) is Union else (hint,)
    choices: list[str] = []
    for each in kinds:
        choices += get_args(each) if get_origin(each) is Literal else list(each) if isinstance(each, EnumMeta) else []
    return [str(choice.value) if isinstance(choice, Enum) else choice for choice in choices]
