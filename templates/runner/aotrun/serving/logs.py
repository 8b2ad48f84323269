"""A line of JSON for each event, on standard error."""

from __future__ import annotations

import contextlib
import os
import time

from aotrun.formats.documents import dumps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def log(level: str, event: str, **facts: Any) -> None:
    """Write one line at once, so that those of several processes do not mix."""
    now = time.time()
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now * 1000) % 1000:03d}Z"
    line = dumps({"time": stamp, "level": level, "event": event, "pid": os.getpid(), **facts}) + "\n"
    with contextlib.suppress(OSError):  # nobody reads any more; the server has other work
        os.write(2, line.encode("utf-8"))
