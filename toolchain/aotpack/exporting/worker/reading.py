"""Which of the user's files an export follows from: modules, weights, whatever the function opens."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

#: What lies there is told by the versions of the environment and the system, or is no file.
_OTHERS = (
    *(f"{os.path.realpath(place)}/" for place in (sys.prefix, sys.base_prefix)),
    *("/usr/", "/lib/", "/lib64/", "/etc/", "/opt/", "/proc/", "/sys/", "/dev/"),
)


class Watch:
    """Notes the files that this process reads, from now until `stop`."""

    def __init__(self) -> None:
        self._opened: set[str] = set()
        self._on = True
        sys.addaudithook(self._hear)  # for good: Python has no way to take one back

    def _hear(self, event: str, args: tuple[Any, ...]) -> None:
        if self._on and event == "open" and isinstance(args[0], (str, bytes)):
            flags = args[2] if len(args) > 2 and isinstance(args[2], int) else 0
            if flags & os.O_ACCMODE == os.O_RDONLY:
                self._opened.add(os.path.realpath(os.fsdecode(args[0])))

    def stop(self) -> list[str]:
        """The files by their real names, sorted; those of the environment itself left out."""
        self._on = False
        modules = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
        found = self._opened | {os.path.realpath(file) for file in modules if file} | _mapped()
        return sorted(
            file
            for file in found
            if not file.startswith(_OTHERS)
            and not file.startswith(str(Path(__file__).parent))
            and not file.endswith(".pyc")
            and Path(file).is_file()
        )


def _mapped() -> set[str]:
    """Files in this process's memory: weights that a library maps without Python's knowing."""
    with Path("/proc/self/maps").open(encoding="utf-8", errors="surrogateescape") as maps:
        places = [line.split(maxsplit=5)[5].strip() for line in maps if line.count("/")]
    return {place for place in places if place.startswith("/") and not place.endswith(" (deleted)")}
