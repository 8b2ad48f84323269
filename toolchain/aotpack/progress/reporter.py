"""Who is told how a piece of work goes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Reporter:
    """How progress reaches a person. The default tells nobody."""

    #: A phase, as long as the context lasts.
    step: Callable[[str], AbstractContextManager[None]] = field(default=lambda _text: nullcontext())
    #: A phase of so many bytes; what it yields is called with the bytes just done.
    bytes: Callable[[str, int], AbstractContextManager[Callable[[int], None]]] = field(
        default=lambda _text, _total: nullcontext(lambda _done: None)
    )
    #: What is done of all, and all, as often as either changes.
    files: Callable[[str], AbstractContextManager[Callable[[int, int], None]]] = field(
        default=lambda _text: nullcontext(lambda _done, _total: None)
    )
    say: Callable[[str], None] = field(default=lambda _text: None)
    #: Something that is not as asked.
    warn: Callable[[str], None] = field(default=lambda _text: None)
