"""What `progress=` of the Python API means."""

from __future__ import annotations

from collections.abc import Callable

from aotpack.progress import events, notebook, terminal
from aotpack.progress.events import Event
from aotpack.progress.reporter import Reporter

#: A reporter; a callback for events; True or False for showing it or not; None to show it where somebody looks.
Progress = Reporter | Callable[[Event], None] | bool | None


def reporter_for(progress: Progress) -> Reporter:
    """The reporter that is meant. Where nobody looks, it goes to the logger `aotpack`."""
    if isinstance(progress, Reporter):
        return progress
    if callable(progress):
        return events.reporter_of(progress)
    if progress is not False and notebook.is_notebook():
        return notebook.reporter()
    if progress or (progress is None and terminal.is_terminal()):
        return terminal.reporter()
    return events.reporter_of(events.log)
