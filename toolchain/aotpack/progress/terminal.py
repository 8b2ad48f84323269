"""Progress on a terminal, drawn by rich, and as plain lines elsewhere; all on stderr."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from aotpack.progress.reporter import Reporter
from aotpack_doctor.base.printable import printable

if TYPE_CHECKING:
    from rich.console import Console

#: Seconds between two lines about the same thing where nobody sees one that changes.
_PAUSE = 5.0


def is_terminal() -> bool:
    """Whether a person watches stderr."""
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


def stderr() -> Console:
    """rich's console of stderr."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, soft_wrap=True)


def escape(text: str) -> str:
    """Text that means nothing to rich, nor to a terminal: it may name what is in files of others."""
    from rich.markup import escape as escaped

    return escaped(printable(text))


def say(text: str) -> None:
    """A line."""
    print(printable(text), file=sys.stderr)


def warn(text: str) -> None:
    """A line that stands out."""
    if is_terminal():
        stderr().print(f"[yellow]warning:[/] {escape(text)}")
    else:
        print(f"warning: {printable(text)}", file=sys.stderr)


def reporter(*, quiet: bool = False) -> Reporter:
    """This terminal as a reporter; a quiet one shows warnings alone."""
    told = _nothing if quiet else say
    drawn = not quiet and is_terminal()

    @contextlib.contextmanager
    def step(text: str) -> Iterator[None]:
        if not drawn:
            told(text)
            yield
            return
        start = time.monotonic()
        with stderr().status(escape(text)):
            yield
        told(_timed(text, start))

    @contextlib.contextmanager
    def in_bytes(text: str, total: int) -> Iterator[Callable[[int], None]]:
        if not drawn:
            told(text)
            yield lambda _done: None
            return
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
        with Progress(*columns, console=stderr(), transient=True) as progress:
            task = progress.add_task(escape(text), total=total)
            yield lambda done: progress.advance(task, done)
        told(text)

    @contextlib.contextmanager
    def in_files(text: str) -> Iterator[Callable[[int, int], None]]:
        start = last = time.monotonic()
        with contextlib.ExitStack() as stack:
            status = stack.enter_context(stderr().status(escape(text))) if drawn else None
            if status is None:
                told(text)

            def progress(done: int, total: int) -> None:
                nonlocal last
                if status is not None:
                    status.update(escape(f"{text}: {done} of {total} files"))
                elif time.monotonic() - last >= _PAUSE:
                    last = time.monotonic()
                    told(f"  {done} of {total} files")

            yield progress
        if drawn:
            told(_timed(text, start))

    return Reporter(step=step, bytes=in_bytes, files=in_files, say=told, warn=warn)


def _nothing(_text: str) -> None:
    pass


def _timed(text: str, start: float) -> str:
    """With the time that it took, when that was over a second."""
    took = time.monotonic() - start
    return f"{text} ({took:.1f} s)" if took >= 1 else text
