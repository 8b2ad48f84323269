"""Progress in a notebook: one line of HTML that changes in place, with IPython alone."""

from __future__ import annotations

import html
import importlib
import sys
import time
from typing import Any

from aotpack.progress.events import Event, reporter_of
from aotpack.progress.reporter import Reporter

#: Seconds between two changes of a bar: each is a message to the browser.
_PAUSE = 0.1


def is_notebook() -> bool:
    """Whether this process is the kernel of a notebook."""
    ipython = sys.modules.get("IPython")
    shell: Any = None if ipython is None else ipython.get_ipython()
    return shell is not None and type(shell).__name__ == "ZMQInteractiveShell"


def reporter() -> Reporter:
    """This notebook's output as a reporter: a line for all phases, and one for each warning."""
    return reporter_of(_Line())


class _Line:
    """What a cell shows while it works, and how long it worked in the end."""

    def __init__(self) -> None:
        self._handle: Any = None
        self._start = self._drawn = time.monotonic()

    def __call__(self, event: Event) -> None:
        shown: Any = importlib.import_module("IPython.display")
        if event.kind == "warning":
            shown.display(shown.HTML(f"<div><b>warning:</b> {html.escape(event.text)}</div>"))
            return
        now = time.monotonic()
        if event.kind == "progress" and now - self._drawn < _PAUSE:
            return
        self._drawn = now
        text = shown.HTML(line(event, now - self._start))
        if self._handle is None:
            self._handle = shown.display(text, display_id=True)
        else:
            self._handle.update(text)


def line(event: Event, seconds: float) -> str:
    """An event as HTML. Pure."""
    bar = ""
    if event.kind in ("begin", "progress") and event.total:
        bar = f'<progress value="{event.done}" max="{event.total}"></progress> '
    mark = "&#10003; " if event.kind == "end" else ""
    return f"<div>{bar}{mark}{html.escape(event.text)} <small>({seconds:.0f} s)</small></div>"
