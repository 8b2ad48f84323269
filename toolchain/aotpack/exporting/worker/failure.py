"""A failure that the toolchain turns into one of its own errors."""

from __future__ import annotations

import linecache
import re
import traceback
from pathlib import Path

#: So much of a sentence of torch's is shown.
_LONGEST = 240


class WorkerError(Exception):
    """Three lines for the user, as in `aotpack.errors`, which is out of reach in this process.

    Args:
        kind: which error it becomes: `usage`, `torch`, `tool`, `model` or `failed`.
    """

    def __init__(self, what: str, *, meaning: str, fix: str, kind: str = "failed", detail: str = "") -> None:
        super().__init__(what)
        self.kind = kind
        self.meaning = meaning
        self.fix = fix
        self.detail = detail

    def document(self) -> dict[str, str]:
        """The event that carries it."""
        return {
            "event": "error",
            "kind": self.kind,
            "what": str(self),
            "meaning": self.meaning,
            "fix": self.fix,
            "detail": self.detail,
        }


def no_space(place: str) -> WorkerError:
    """The disk that holds `place` is full."""
    return WorkerError(
        f"{place}: no space left on device",
        meaning="there is no room for the compiler's files; no package has been written",
        fix="free some space (df -h), or set TMPDIR to a folder on a larger disk",
    )


def unforeseen(error: BaseException, doing: str, path: Path | None) -> WorkerError:
    """Whatever nobody thought of, while `doing` something with the module in the file `path`."""
    where = "" if path is None else own_line(error, path)
    return WorkerError(
        f"{doing} failed with {type(error).__name__}: {essence(error)}",
        meaning=where or "the exporter, torch or a library of it failed in an unforeseen way",
        fix="run again with -v for the traceback; report it if the module runs in eager PyTorch",
    )


def essence(error: BaseException) -> str:
    """The sentence among torch's many lines that says what happened: never a frame of a stack, nor nothing."""
    for line in str(error).splitlines():
        text = re.sub(r"^(?:\w+\.)*(?:InductorError|BackendCompilerFailed):?\s*", "", line.strip().strip("-= "))
        if text and not _NO_SENTENCE.match(text) and not text.endswith(":"):
            sentence = re.split(r"\.\s", text)[0].rstrip(".")
            return sentence if len(sentence) <= _LONGEST else sentence[:_LONGEST] + " ..."
    # An error that was caused by one with more to say.
    cause = error.__cause__ or error.__context__
    return essence(cause) if cause is not None and cause is not error else f"{type(error).__name__} without a message"


#: Headlines after which the reason comes, frames of C++ and of Python, marks under a line of code.
_NO_SENTENCE = re.compile(
    r"Constraints violated|from user code|Exception raised from|frame #|File \"|Traceback"
    r"|C\+\+ [Cc]aptured|<omitting|[\^~]+$"
)


def own_line(error: BaseException, path: Path) -> str:
    """The user's own innermost line, from the error or from one that caused it: `at model.py line 12: x = y + z`.

    Empty when none is known.
    """
    for each in chain(error):
        if isinstance(each, SyntaxError) and each.filename == str(path):
            return _at(path, each.lineno or 0, each.text or "")
        frames = [frame for frame in traceback.extract_tb(each.__traceback__) if Path(frame.filename) == path]
        found = _at(path, frames[-1].lineno or 0, frames[-1].line or "") if frames else line_in(str(each), path)
        if found:
            return found
    return ""


def chain(error: BaseException) -> list[BaseException]:
    """An error and those that caused it, the first cause last."""
    found: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in found:
        found.append(current)
        current = current.__cause__ or current.__context__
    return found


def line_in(stack: str, path: Path) -> str:
    """The user's innermost line in the text of a stack; empty when there is none."""
    lines = re.findall(rf'File "{re.escape(str(path))}", line (\d+)', stack)
    return _at(path, int(lines[-1]), linecache.getline(str(path), int(lines[-1]))) if lines else ""


def _at(path: Path, number: int, line: str) -> str:
    return f"at {path.name} line {number}: {line.strip()}".rstrip(": ")
