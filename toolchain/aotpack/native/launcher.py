"""Compiles what stands on the kernel alone: `bin/aotrun`, and the SHA-256 that `aotrun doctor` loads."""

from __future__ import annotations

from pathlib import Path

from aotpack import resources
from aotpack.errors import BuildToolError
from aotpack.tools.cache import cached_folder, content_key
from aotpack.tools.compilers import find_compiler, run_tool
from aotpack_doctor.base import hashing

NAME = "aotrun"
HASHES = "libaot_sha256.so"
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
    f"-Wl,-soname,{HASHES}",
)


def build_launcher() -> Path:
    """Compile the launcher for this machine type, or find it in the cache.

    Raises:
        BuildToolError: there is no C compiler, or it fails.
    """
    return _build(NAME, "launcher", FLAGS)


def build_hashes() -> Path:
    """The same for the library that hashes."""
    return _build(HASHES, "hash", _HASH_FLAGS)


def fastest_sha256() -> hashing.Implementation:
    """The same library in this process, where it is faster than OpenSSL; OpenSSL's where there is no compiler."""
    try:
        return hashing.fastest(str(build_hashes()))
    except BuildToolError:
        return hashing.PYTHONS


def _build(name: str, folder: str, flags: tuple[str, ...]) -> Path:
    compiler = find_compiler("c")
    sources = sorted((resources.TEMPLATES / folder).glob("*.[ch]"))
    key = content_key([compiler.identity, *compiler.command, *flags, *(path.read_bytes() for path in sources)])

    def compile_it(target: Path) -> None:
        units = [str(path) for path in sources if path.suffix == ".c"]
        run_tool([*compiler.command, *flags, *units, "-o", str(target / name)])

    return cached_folder(folder, key, compile_it) / name
