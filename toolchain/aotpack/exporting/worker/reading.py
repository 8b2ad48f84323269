"""What of the user's an export follows from: modules, weights, whatever the function opens, looks for, lists, or asks
the environment for.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from stat import S_ISREG
from typing import Any

_PREFIXES = {os.path.realpath(sys.prefix), os.path.realpath(sys.base_prefix), "/usr", "/usr/local"}
#: What lies there is told by the packages of the environment and the system, or is no file. Elsewhere below a prefix
#: are people's own: /usr/src/app of containers, and the sources of editable packages in an environment's `src`.
_OTHERS = (
    *(f"{prefix}/{name}/" for prefix in sorted(_PREFIXES) for name in ("bin", "include", "lib", "lib64", "share")),
    *("/lib/", "/lib64/", "/etc/", "/proc/", "/sys/", "/dev/"),
)


#: Who lists folders in search of modules, which are noticed when they are imported.
_IMPORTING = ("importlib.", "_frozen_importlib", "pkgutil", "pkg_resources", "zipimport")
#: What tells of a terminal or a session, and changes between two calls that are the same.
_OF_A_SESSION = frozenset(
    b"_ SHLVL PWD OLDPWD COLUMNS LINES TERM COLORTERM WINDOWID SSH_CLIENT SSH_CONNECTION SSH_TTY SSH_AUTH_SOCK".split()
) | {b"PYTEST_CURRENT_TEST"}
#: Among settings: every variable there is, and the folder that a relative path begins from.
ALL, FOLDER = "*", "."


class Watch:
    """Notes what this process reads, from now until `stop`."""

    def __init__(self) -> None:
        self._opened: set[str] = set()
        self._folders: dict[str, str] = {}
        self._settings: set[str] = set()
        self._on = True
        self._undo: list[Callable[[], None]] = []
        sys.addaudithook(self._hear)  # for good: Python has no way to take one back
        self._hear_safetensors()
        self._hear_of_looks()
        self._hear_settings()

    def _hear(self, event: str, args: tuple[Any, ...]) -> None:
        if not self._on:
            return
        if event == "open" and isinstance(args[0], (str, bytes)):
            flags = args[2] if len(args) > 2 and isinstance(args[2], int) else 0
            if flags & os.O_ACCMODE == os.O_RDONLY:
                self._note(args[0])
        elif event in ("os.listdir", "os.scandir"):
            asker = sys._getframe(1).f_globals.get("__name__") or ""
            if not asker.startswith(_IMPORTING):
                self._note_folder(args[0])

    def _real(self, path: str | bytes) -> str:
        text = os.fsdecode(path)
        if not text.startswith(("/", "<")):  # <string> and its like are no files
            self._settings.add(FOLDER)
        return os.path.realpath(text)

    def _note(self, path: str | bytes) -> None:
        self._opened.add(self._real(path))

    def _note_folder(self, path: Any) -> None:
        if isinstance(path, int):
            path = f"/proc/self/fd/{path}"
        folder = self._real(path or ".")
        self._on = False
        try:
            self._folders.setdefault(folder, listing(folder))
        finally:
            self._on = True

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
                    watch._note(filename)
                return original(filename, *args, **kwargs)

            def __instancecheck__(cls, instance: Any) -> bool:
                return isinstance(instance, original)

        safetensors.safe_open = Kind("safe_open", (), {"__doc__": original.__doc__})

    def _hear_of_looks(self) -> None:
        """Note files that are looked for, there or not, and who asks for the current folder: no audit hook hears it."""
        stat, getcwd = os.stat, os.getcwd

        def looking(path: Any, *args: Any, **kwargs: Any) -> os.stat_result:
            is_noted = self._on and not isinstance(path, int) and kwargs.get("dir_fd") is None
            try:
                found = stat(path, *args, **kwargs)
            except (FileNotFoundError, NotADirectoryError):
                if is_noted:
                    self._note(os.fspath(path))
                raise
            if is_noted and S_ISREG(found.st_mode):
                self._note(os.fspath(path))
            return found

        def asking() -> str:
            # For that module it is the beginning of a relative path, which may be of nothing that is read.
            if self._on and sys._getframe(1).f_globals.get("__name__") != "posixpath":
                self._settings.add(FOLDER)
            return getcwd()

        known = [each for each in (os.supports_dir_fd, os.supports_fd, os.supports_follow_symlinks) if stat in each]
        for each in known:
            each.add(looking)
        os.stat, os.getcwd = looking, asking

        def undo() -> None:
            os.stat, os.getcwd = stat, getcwd
            for each in known:
                each.discard(looking)

        self._undo.append(undo)

    def _hear_settings(self) -> None:
        """Note which variables of the environment are asked for. What C code asks for is not noticed."""
        environ: Any = os.environ
        watch = self

        class Heard(dict[bytes, bytes]):
            def __getitem__(self, key: bytes) -> bytes:
                if watch._on and key not in _OF_A_SESSION:
                    watch._settings.add(os.fsdecode(key))
                return super().__getitem__(key)

            def __iter__(self) -> Iterator[bytes]:
                if watch._on:
                    watch._settings.add(ALL)
                return super().__iter__()

        heard = Heard(environ._data)

        def undo() -> None:
            os.environb._data = environ._data = dict(environ._data)  # type: ignore[attr-defined]

        os.environb._data = environ._data = heard  # type: ignore[attr-defined]
        self._undo.append(undo)

    def stop(self) -> dict[str, Any]:
        """What was read.

        Returns:
            `files`: their real names, sorted, those of the environment itself left out, those that were looked for and
            are not there among them; `folders`: a hash of the names in each that was listed; `settings`: names of
            environment variables, and `ALL` or `FOLDER`.
        """
        self._on = False
        for undo in self._undo:
            undo()
        modules = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
        found = self._opened | {os.path.realpath(file) for file in modules if file} | _mapped()
        return {
            "files": sorted(
                file
                for file in found
                if _is_theirs(file)
                and not (file.startswith("/opt/") and ".so" in Path(file).name)  # a vendor's libraries
                and not file.endswith(".pyc")
                and (Path(file).is_file() or not os.path.lexists(file))
            ),
            # A folder that is gone was a temporary one.
            "folders": {
                folder: names for folder, names in self._folders.items() if _is_theirs(folder) and Path(folder).is_dir()
            },
            "settings": sorted(self._settings),
        }


def _is_theirs(path: str) -> bool:
    """Whether something is the user's own, not the environment's or ours."""
    return not f"{path}/".startswith((*_OTHERS, f"{Path(__file__).parent}/"))


def listing(folder: str) -> str:
    """A hash of the names in a folder; empty when there is none."""
    try:
        names = sorted(os.fsencode(path.name) for path in Path(folder).iterdir() if path.name != "__pycache__")
    except OSError:
        return ""
    return hashlib.sha256(b"\0".join(names)).hexdigest()


def values(names: Iterable[str], environment: Mapping[bytes, bytes], folder: str) -> dict[str, str]:
    """A hash of each setting; empty for one that is not set.

    Args:
        names: of variables, and `ALL` or `FOLDER`.
        environment: the variables.
        folder: the current one.
    """
    found = {}
    for name in names:
        value: bytes | None
        if name == ALL:
            lasting = sorted((key, text) for key, text in environment.items() if key not in _OF_A_SESSION)
            value = b"\0".join(b"%b=%b" % each for each in lasting)
        elif name == FOLDER:
            value = os.fsencode(folder)
        else:
            value = environment.get(os.fsencode(name))
        found[name] = "" if value is None else hashlib.sha256(value).hexdigest()
    return found


def _mapped() -> set[str]:
    """Files in this process's memory: weights that a library maps without Python's knowing."""
    with Path("/proc/self/maps").open(encoding="utf-8", errors="surrogateescape") as maps:
        places = [line.split(maxsplit=5)[5].strip() for line in maps if line.count("/")]
    return {place for place in places if place.startswith("/") and not place.endswith(" (deleted)")}
