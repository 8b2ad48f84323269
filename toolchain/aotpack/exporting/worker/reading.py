"""Which of the user's files an export follows from: modules, weights, whatever the function opens."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from typing import Any

_PREFIXES = {os.path.realpath(sys.prefix), os.path.realpath(sys.base_prefix), "/usr", "/usr/local"}
#: What lies there is told by the packages of the environment and the system, or is no file. Elsewhere below a prefix
#: are people's own: /usr/src/app of containers, and the sources of editable packages in an environment's `src`.
_OTHERS = (
    *(f"{prefix}/{name}/" for prefix in sorted(_PREFIXES) for name in ("bin", "include", "lib", "lib64", "share")),
    *("/lib/", "/lib64/", "/etc/", "/proc/", "/sys/", "/dev/"),
)


class Watch:
    """Notes the files that this process reads, from now until `stop`."""

    def __init__(self) -> None:
        self._opened: set[str] = set()
        self._on = True
        sys.addaudithook(self._hear)  # for good: Python has no way to take one back
        self._hear_safetensors()

    def _hear(self, event: str, args: tuple[Any, ...]) -> None:
        if self._on and event == "open" and isinstance(args[0], (str, bytes)):
            flags = args[2] if len(args) > 2 and isinstance(args[2], int) else 0
            if flags & os.O_ACCMODE == os.O_RDONLY:
                self._opened.add(os.path.realpath(os.fsdecode(args[0])))

    def _hear_safetensors(self) -> None:
        """Note what that library opens, which it does without Python's knowing and lets go of when it is copied."""
        try:
            safetensors: Any = importlib.import_module("safetensors")
        except ImportError:
            return
        original = safetensors.safe_open
        watch = self

        class Kind(type):
            def __call__(cls, filename: Any, *args: Any, **kwargs: Any) -> Any:
                if watch._on:
                    watch._opened.add(os.path.realpath(os.fsdecode(filename)))
                return original(filename, *args, **kwargs)

            def __instancecheck__(cls, instance: Any) -> bool:
                return isinstance(instance, original)

        safetensors.safe_open = Kind("safe_open", (), {"__doc__": original.__doc__})

    def stop(self) -> list[str]:
        """The files by their real names, sorted; those of the environment itself left out."""
        self._on = False
        modules = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
        found = self._opened | {os.path.realpath(file) for file in modules if file} | _mapped()
        return sorted(
            file
            for file in found
            if not file.startswith(_OTHERS)
            and not (file.startswith("/opt/") and ".so" in Path(file).name)  # a vendor's libraries
            and not file.startswith(str(Path(__file__).parent))
            and not file.endswith(".pyc")
            and Path(file).is_file()
        )


def _mapped() -> set[str]:
    """Files in this process's memory: weights that a library maps without Python's knowing."""
    with Path("/proc/self/maps").open(encoding="utf-8", errors="surrogateescape") as maps:
        places = [line.split(maxsplit=5)[5].strip() for line in maps if line.count("/")]
    return {place for place in places if place.startswith("/") and not place.endswith(" (deleted)")}
