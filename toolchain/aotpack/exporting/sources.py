"""Where a model comes from, as a user writes it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from aotpack.errors import UsageError

#: What all forms are called together.
FORMS = "FILE.py:FUNCTION, package.module:FUNCTION or a program saved by torch.export.save"


@dataclass(frozen=True)
class Source:
    """A function that returns a module and its example inputs, or a saved program.

    Attributes:
        file: the Python file, or the program; None for a module that Python finds by its name.
        module: that name, such as `package.module`.
        function: empty for a saved program.
    """

    file: Path | None = None
    module: str = ""
    function: str = ""

    @property
    def name(self) -> str:
        """What a package of it is called: after the function, unless that has the name that all use."""
        stem = self.module.rpartition(".")[2] if self.file is None else self.file.stem
        return stem if self.function in ("", "model") else self.function

    def __str__(self) -> str:
        where = self.module if self.file is None else str(self.file)
        return f"{where}:{self.function}" if self.function else where


def parse_source(text: str) -> Source:
    """What `FILE.py:FUNCTION`, `package.module:FUNCTION` or `PROGRAM.pt2` names. Raises UsageError."""
    place, colon, function = text.rpartition(":")
    if text.endswith(".pt2"):
        return Source(_existing(text))
    if not colon or not place or not function.isidentifier():
        raise UsageError(
            f"{text!r} is not of the form FILE.py:FUNCTION",
            meaning=f"a model is named as {FORMS}; the function returns the module and its example inputs",
            fix=f"aotpack export {text.rstrip(':') or 'model.py'}:model --output model.pt2",
        )
    if all(part.isidentifier() for part in place.split(".")) and not place.endswith(".py"):
        return Source(module=place, function=function)
    return Source(_existing(place), function=function)


def is_source(text: str) -> bool:
    """Whether a text names a function rather than a file."""
    place, _, function = text.rpartition(":")
    return bool(place) and function.isidentifier() and not Path(text).exists()


def _existing(text: str) -> Path:
    path = Path(text)
    if not path.is_file():
        raise UsageError(
            f"{path}: no such file",
            meaning="the file that makes the model was not found",
            fix="check the path; it is relative to the current folder",
        )
    return path.resolve()
