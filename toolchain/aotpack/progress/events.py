"""Progress as events for a callback, and as records of `logging` where nobody looks."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from aotpack.progress.reporter import Reporter

logger = logging.getLogger("aotpack")


@dataclass(frozen=True)
class Event:
    """One thing that happened.

    Attributes:
        kind: `begin` and `end` of a phase, `progress` within one, `message`, `warning`.
        text: the phase's name, or what is said.
        done, total: bytes or files, as `unit` says; 0 of 0 where a phase has no measure.
        unit: `bytes`, `files` or empty.
    """

    kind: Literal["begin", "progress", "end", "message", "warning"]
    text: str
    done: int = 0
    total: int = 0
    unit: Literal["", "bytes", "files"] = ""


def reporter_of(callback: Callable[[Event], None]) -> Reporter:
    """A reporter that tells a callback."""

    @contextlib.contextmanager
    def step(text: str) -> Iterator[None]:
        callback(Event("begin", text))
        yield
        callback(Event("end", text))

    @contextlib.contextmanager
    def in_bytes(text: str, total: int) -> Iterator[Callable[[int], None]]:
        done = 0

        def progress(more: int) -> None:
            nonlocal done
            done += more
            callback(Event("progress", text, done, total, "bytes"))

        callback(Event("begin", text, 0, total, "bytes"))
        yield progress
        callback(Event("end", text, done, total, "bytes"))

    @contextlib.contextmanager
    def in_files(text: str) -> Iterator[Callable[[int, int], None]]:
        callback(Event("begin", text, unit="files"))
        yield lambda done, total: callback(Event("progress", text, done, total, "files"))
        callback(Event("end", text, unit="files"))

    return Reporter(
        step=step,
        bytes=in_bytes,
        files=in_files,
        say=lambda text: callback(Event("message", text)),
        warn=lambda text: callback(Event("warning", text)),
    )


def log(event: Event) -> None:
    """To the logger `aotpack`: warnings as such, the rest as information."""
    if event.kind == "warning":
        logger.warning(event.text)
    elif event.kind in ("begin", "message"):
        logger.info(event.text)
