"""Compiles what stands on the kernel alone: `bin/aotrun`, and the SHA-256 that `aotrun doctor` loads."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from pathlib import Path

from aotpack import resources
from aotpack.errors import BuildToolError
from aotpack.native.carried import carried_key, find_carried
from aotpack.tools.cache import cached_folder, content_key
from aotpack.tools.compilers import find_compiler
from aotpack.tools.running import run_tool
from aotpack_doctor.base import hashing, places

NAME = "aotrun"
_HASHES = posixpath.basename(places.HASHES)
#: Nothing of the machine gets in: no start files, no libc, no libgcc. No build id, so that the same sources give the
#: same bytes.
_FREESTANDING = (
    "-std=c11",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-ffreestanding",
    "-fno-stack-protector",
    "-fno-asynchronous-unwind-tables",
    "-nostdlib",
    "-s",
    "-Wl,-z,noexecstack",
    "-Wl,--build-id=none",
)
#: Not position-independent, because nobody would relocate it.
FLAGS = (*_FREESTANDING, "-Os", "-fno-builtin", "-fno-pie", "-static", "-no-pie")
#: One segment for all that is only read: the library is smaller than two pages.
_HASH_FLAGS = (
    *_FREESTANDING,
    "-O3",
    "-fPIC",
    "-shared",
    "-fvisibility=hidden",
    "-Wl,-z,defs",
    "-Wl,-z,noseparate-code",
    f"-Wl,-soname,{_HASHES}",
)


def build_launcher() -> Path:
    """Compile the launcher for this machine type, or find it in the cache.

    Raises:
        BuildToolError: there is no C compiler, or it fails.
    """
    return _build(NAME, "launcher", FLAGS)


def build_hashes() -> Path:
    """The same for the library that hashes."""
    return _build(_HASHES, "hash", _HASH_FLAGS)


def fastest_sha256() -> hashing.Implementation:
    """The same library in this process, where it is faster than OpenSSL; OpenSSL's where there is no compiler."""
    try:
        return hashing.fastest(str(build_hashes()))
    except BuildToolError:
        return hashing.PYTHONS


def launcher_parts() -> Iterator[tuple[str, str, Path]]:
    """Kind, key and file of both, as a wheel carries them (`carried`)."""
    for folder, flags, file in (("launcher", FLAGS, build_launcher()), ("hash", _HASH_FLAGS, build_hashes())):
        yield folder, carried_key(_parts(folder, flags)[1]), file


def _parts(folder: str, flags: tuple[str, ...]) -> tuple[list[Path], list[str | bytes]]:
    """The sources, and all that follows from them and the flags."""
    sources = sorted((resources.TEMPLATES / folder).glob("*.[ch]"))
    return sources, [*flags, *(path.read_bytes() for path in sources)]


def _build(name: str, folder: str, flags: tuple[str, ...]) -> Path:
    sources, parts = _parts(folder, flags)
    carried = find_carried(folder, carried_key(parts))
    if carried is not None:
        return carried / name
    compiler = find_compiler("c")
    key = content_key([compiler.identity, *compiler.command, *parts])

    def compile_it(target: Path) -> None:
        units = [str(path) for path in sources if path.suffix == ".c"]
        run_tool([*compiler.command, *flags, *units, "-o", str(target / name)])

    return cached_folder(folder, key, compile_it) / name
