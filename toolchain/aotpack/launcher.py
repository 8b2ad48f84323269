"""Compiles `bin/aotrun`: a static program without a libc, from templates/launcher."""

from __future__ import annotations

from pathlib import Path

from aotpack import resources
from aotpack.cache import cached_folder, content_key
from aotpack.compilers import find_compiler, run_tool

NAME = "aotrun"
_SOURCES = resources.TEMPLATES / "launcher"
#: Nothing of the machine gets in: no start files, no libc, no libgcc. Not position-independent, because nobody would
#: relocate it. One segment layout and no build id, so that the same sources give the same bytes.
FLAGS = (
    "-std=c11",
    "-Os",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-ffreestanding",
    "-fno-builtin",
    "-fno-pie",
    "-fno-stack-protector",
    "-fno-asynchronous-unwind-tables",
    "-nostdlib",
    "-static",
    "-no-pie",
    "-s",
    "-Wl,-z,noexecstack",
    "-Wl,--build-id=none",
)


def build_launcher() -> Path:
    """Compile the launcher for this machine type, or find it in the cache.

    Raises:
        BuildToolError: there is no C compiler, or it fails.
    """
    compiler = find_compiler("c")
    sources = sorted(_SOURCES.glob("*.[ch]"))
    key = content_key([compiler.identity, *compiler.command, *FLAGS, *(path.read_bytes() for path in sources)])

    def compile_it(folder: Path) -> None:
        run_tool([*compiler.command, *FLAGS, str(_SOURCES / "aotrun.c"), "-o", str(folder / NAME)])

    return cached_folder("launcher", key, compile_it) / NAME
