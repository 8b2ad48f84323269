"""Named moments of a build, an export or an init: what is on disk between two of them is a state of its own.

Nothing happens at them. Tests put a function here that ends the process, or fails as a broken disk does, at the moment
it names, and then look at what is left.
"""

from __future__ import annotations

from collections.abc import Callable

#: Called with the name of each moment.
listener: Callable[[str], None] | None = None


def reached(step: str) -> None:
    """Say that a step is reached."""
    if listener is not None:
        listener(step)
