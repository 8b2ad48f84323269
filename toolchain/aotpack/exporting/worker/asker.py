"""The process that asked for the export: once it is gone, however it ended, nobody waits for what is made here."""

from __future__ import annotations

import os
import select
import signal
import threading


def end_with(requests: int) -> None:
    """End this process and the compilers that it started when nobody holds the other end of a pipe any more.

    Args:
        requests: descriptor of the pipe's end that is read here.
    """

    def watch() -> None:
        poll = select.poll()
        poll.register(requests, 0)  # that its writers are gone is told unasked
        poll.poll()
        # A session of its own, unless somebody started it by hand.
        group = 0 if os.getpgrp() == os.getpid() else os.getpid()
        os.kill(group, signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()
