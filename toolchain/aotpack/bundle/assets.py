"""Files and facts that travel with a model: labels, a tokenizer, a sample rate."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import msgspec

from aotpack.errors import UsageError
from aotpack_doctor.base.regular import kind

Scalar = bool | int | float | str

#: Each part of a name: what no file system and no archive takes for anything but a name.
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._ +@=,~-]{0,99}")
_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")
_LONGEST = 200
#: Bytes of the metadata as JSON: a fact or two, not a file.
_LARGEST = 16 * 1024


def check_assets(asked: Iterable[tuple[str, Path]]) -> tuple[tuple[str, Path], ...]:
    """Names and absolute paths of all files, those below a folder one by one, sorted by name.

    Raises:
        UsageError: a name that could leave the folder, one that is there twice, or a path that is no file.
    """
    found: dict[str, Path] = {}
    for name, path in asked:
        files = list(_files(name, path))
        if not files:
            raise _refusal(name, path, "a folder without files", "there is nothing in it to travel with the models")
        for full, file in files:
            _check_name(full, path)
            if full in found:
                raise _refusal(full, path, "another asset has this name", "each asset has its own name")
            found[full] = file
    names = set(found)
    for name in names:
        inside = name.rpartition("/")[0]
        while inside:
            if inside in names:
                raise _refusal(
                    name, found[name], f"{inside} is an asset as well", "a name cannot be a file and a folder"
                )
            inside = inside.rpartition("/")[0]
    return tuple(sorted(found.items()))


def check_metadata(asked: Mapping[str, object]) -> tuple[tuple[str, Scalar], ...]:
    """Keys and values, sorted. Raises UsageError for what is not a small set of plain values."""
    checked: list[tuple[str, Scalar]] = []
    for key, value in sorted(asked.items()):
        is_plain = isinstance(value, (bool, int, str)) or (isinstance(value, float) and math.isfinite(value))
        is_small = not isinstance(value, int) or -(2**63) <= value < 2**63
        if not _KEY.fullmatch(key) or not is_plain or not is_small:
            raise UsageError(
                f"metadata {key}={value!r}: not a plain value under a plain name",
                meaning="a name has letters, digits, '_', '.' and '-'; a value is a text, a number, true or false",
                fix="put what is larger into a file, and that among the assets: --asset NAME=FILE",
            )
        assert isinstance(value, (bool, int, float, str))  # noqa: S101
        checked.append((key, value))
    size = len(msgspec.json.encode(dict(checked)))
    if size > _LARGEST:
        raise UsageError(
            f"the metadata has {size} bytes, more than {_LARGEST}",
            meaning="it is a part of each model's description, which is read whenever the model is loaded",
            fix="put it into a file, and that among the assets: --asset NAME=FILE",
        )
    return tuple(checked)


def parse_value(text: str) -> Scalar:
    """`--metadata KEY=VALUE`: a number, true or false where it reads as one, else a text. Pure."""
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError):
        return text
    return value if isinstance(value, (bool, int, float, str)) else text


def _files(name: str, path: Path) -> Iterator[tuple[str, Path]]:
    path = path.absolute()
    if path.is_dir():
        for file in sorted(path.rglob("*")):
            if file.is_dir() and file.is_symlink():
                place = f"{name}/{file.relative_to(path).as_posix()}"
                raise _refusal(place, file, "a link to a folder", "what lies behind it would be left out")
            if not file.is_dir():
                yield from _files(f"{name}/{file.relative_to(path).as_posix()}", file)
    elif path.is_file():
        yield name, path
    else:
        what = kind(path.stat().st_mode) if path.exists() else "is not there"
        raise _refusal(name, path, what, "an asset is a file, or a folder of files")


def _check_name(name: str, path: Path) -> None:
    if len(name) > _LONGEST or not all(_PART.fullmatch(part) for part in name.split("/")):
        raise UsageError(
            f"--asset {name}={path}: {name!r} cannot be an asset's name",
            meaning="a name has letters, digits, spaces and . _ + @ = , ~ -, with / between folders, and no part starts"
            " with a dot",
            fix=f"--asset NAME={path}",
        )


def _refusal(name: str, path: Path, what: str, meaning: str) -> UsageError:
    return UsageError(f"--asset {name}={path}: {what}", meaning=meaning, fix="--asset NAME=FILE")
