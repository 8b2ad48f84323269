"""Code of a single file, loaded without a disk: modules from where they lie in it, libraries as files in memory, which
have the names /proc/self/fd/N for the loader."""

from __future__ import annotations

# Not importlib, which brings more along than it gives here: what it gives is theirs.
import _frozen_importlib
import _frozen_importlib_external as _importer
import _imp
import errno
import marshal
import os
import sys

from aotpack_doctor.base import single_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType, ModuleType
    from typing import Any, Dict, Optional, Sequence

#: Of memfd_create, since Linux 6.3: the file may be executed whatever the system's default is.
_MFD_EXEC = 0x10
#: Bytes before the code in a .pyc.
_PYC_HEADER = 16
_SUFFIXES = _imp.extension_suffixes()
#: Path -> the name of its file in memory. These stay open: the loader knows libraries by their path, which must not
#: come to name another one.
_files: Dict[str, str] = {}


def path_of(file: single_file.SingleFile, path: str) -> str:
    """A path by which this process can load a library of a single file. Raises OSError."""
    key = f"{file.path}/{path}"
    if key not in _files:
        entry = file.find(path)
        if entry is None or entry.offset is None:
            raise FileNotFoundError(errno.ENOENT, "is missing", key)
        descriptor = _memfd(os.path.basename(path))
        offset, left = entry.offset, entry.size
        while left:
            sent = os.sendfile(descriptor, file.descriptor, offset, left)
            if not sent:
                raise OSError(errno.EIO, "ends in the middle", key)
            offset, left = offset + sent, left - sent
        _files[key] = f"/proc/self/fd/{descriptor}"
    return _files[key]


def _memfd(name: str) -> int:
    try:
        return os.memfd_create(name, os.MFD_CLOEXEC | _MFD_EXEC)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return os.memfd_create(name, os.MFD_CLOEXEC)


def library(path: str) -> str:
    """The path to load a library by: its own, or that of its copy in memory, with all that it needs loaded before.
    Raises OSError."""
    found = single_file.inside(path)
    if found is None:
        return path
    file, name = found
    if file.needs(name):
        import ctypes  # needs a library itself, which the launcher has loaded

        dlopen = ctypes.CDLL(None)["dlopen"]
        dlopen.argtypes, dlopen.restype = (ctypes.c_char_p, ctypes.c_int), ctypes.c_void_p
        for needed in file.needs(name):
            # An error comes when the library itself is loaded, in the loader's own words.
            dlopen(path_of(file, needed).encode(), os.RTLD_LAZY | os.RTLD_GLOBAL)
    return path_of(file, name)


class _Finder:
    """Finds modules in a single file: bytecode beside its source, as the standard library's travels, or in __pycache__;
    sources; and modules in C."""

    def __init__(self, file: single_file.SingleFile) -> None:
        self._file = file
        start = f"{file.path}/"
        self._roots = [path[len(start) :] for path in sys.path if path.startswith(start)]

    def find_spec(self, name: str, path: Optional[Sequence[str]] = None, target: Any = None) -> Any:
        """As Python's importer asks; None for what is not in the file."""
        entries = self._file.entries
        for root in self._roots:
            place = f"{root}/{name.replace('.', '/')}"
            for stem, is_package in ((place, False), (f"{place}/__init__", True)):
                folder, _, last = stem.rpartition("/")
                cached = f"{folder}/__pycache__/{last}.{sys.implementation.cache_tag}.pyc"
                for origin in (f"{stem}.pyc", cached, f"{stem}.py"):
                    if origin in entries and (origin.endswith(".py") or self._is_readable(origin)):
                        return self._spec(name, origin, f"{stem}.py", is_package)
            for suffix in _SUFFIXES:
                if f"{place}{suffix}" in entries:
                    origin = library(f"{self._file.path}/{place}{suffix}")
                    loader = _importer.ExtensionFileLoader(name, origin)
                    return _frozen_importlib.ModuleSpec(name, loader, origin=origin)
        return None

    def _is_readable(self, path: str) -> bool:
        """Whether it is the bytecode of this very Python; with --python host it may be another's."""
        return self._file.read(path)[: len(_importer.MAGIC_NUMBER)] == _importer.MAGIC_NUMBER

    def _spec(self, name: str, origin: str, source: str, is_package: bool) -> Any:
        loader: Any = self
        spec = _frozen_importlib.ModuleSpec(name, loader, origin=f"{self._file.path}/{source}", is_package=is_package)
        spec.loader_state = origin
        spec.has_location = True
        return spec

    def create_module(self, spec: Any) -> None:
        """The ordinary one."""

    def exec_module(self, module: ModuleType) -> None:
        """Run a module's code."""
        spec: Any = module.__spec__
        exec(self._code(spec.loader_state, spec.origin), module.__dict__)  # noqa: S102

    def _code(self, path: str, shown: str) -> CodeType:
        content = self._file.read(path)
        if path.endswith(".py"):
            return compile(content, shown, "exec", dont_inherit=True)
        code: CodeType = marshal.loads(memoryview(content)[_PYC_HEADER:])  # noqa: S302  (as code as its source is)
        return code

    def get_data(self, path: str) -> bytes:
        """A file beside a module. Raises FileNotFoundError."""
        return self._file.read(path[len(self._file.path) + 1 :])


def install(root: str) -> None:
    """Let this process, which was started from the single file `root`, import what it holds."""
    for name in ("PYTHONHOME", "PYTHONSAFEPATH"):  # what the launcher told the interpreter is not for its children
        os.environ.pop(name, None)
    try:
        found = single_file.inside(root)
    except ValueError as error:
        sys.stderr.write(
            f"error: {os.path.realpath(root)} {error}\n"
            "The file was truncated or changed since it was packed.\n"
            "Copy the whole file again.\n"
        )
        sys.exit(6)
    if found is not None:
        # Behind those for what the interpreter itself brings, before the one that looks along the path.
        sys.meta_path.insert(len(sys.meta_path) - 1, _Finder(found[0]))
